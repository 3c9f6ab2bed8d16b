//! The console: a page for people, part of the program, that shows the whole mesh in a browser.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The page may use what this node serves and nothing else; no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The files that the page asks for: name, type, text.
const FILES: [(&str, &str, &str); 9] = [
    (
        "console.css",
        "text/css; charset=utf-8",
        include_str!("console/console.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("console/icon.svg"),
    ),
    ("main.js", JAVASCRIPT, include_str!("console/main.js")),
    ("page.js", JAVASCRIPT, include_str!("console/page.js")),
    ("detail.js", JAVASCRIPT, include_str!("console/detail.js")),
    ("links.js", JAVASCRIPT, include_str!("console/links.js")),
    ("draw.js", JAVASCRIPT, include_str!("console/draw.js")),
    ("rates.js", JAVASCRIPT, include_str!("console/rates.js")),
    (
        "happened.js",
        JAVASCRIPT,
        include_str!("console/happened.js"),
    ),
];

/// `GET /`.
pub(super) async fn page() -> Response {
    answer(
        "text/html; charset=utf-8",
        include_str!("console/index.html"),
    )
}

/// `GET /console/NAME`.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => answer(kind, text),
        None => (StatusCode::NOT_FOUND, "not here; the console is at /\n").into_response(),
    }
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        // A node of another version may come to the same address: its page must not meet old files.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}
