//! A headless Chromium that a test looks through, driven by Debian's chromium-driver.
//!
//! The protocol is WebDriver (W3C): JSON over plain HTTP.

use super::wait::{self, PATIENCE};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What the driver is called.
const DRIVER: &str = "chromedriver";

/// A browser with one page. It and its driver are ended when this is dropped.
pub struct Browser {
    driver: Child,
    session: String,
    // Where the browser keeps what it keeps; removed after its end.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with a window of this size, which prefers the dark or not.
    ///
    /// # Panics
    /// If there is none, naming the packages.
    pub fn start(width: u32, height: u32, dark: bool) -> Self {
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: apt-get install chromium chromium-driver");
        let stdout = driver.stdout.take().expect("stdout is piped");
        let mut browser = Self {
            driver,
            session: String::new(),
            _profile: tempfile::tempdir().expect("room for a profile"),
        };
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("started successfully on port ")?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("the driver says its port");
        // Reads on, so that the driver never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let root = format!("http://127.0.0.1:{port}/session");
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let window = format!("--window-size={width},{height}");
        let mut arguments = vec!["--headless=new", "--no-sandbox", "--disable-gpu"];
        arguments.extend(["--disable-dev-shm-usage", "--hide-scrollbars"]);
        arguments.extend([profile.as_str(), window.as_str()]);
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0");
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = send("POST", &root, &wanted).expect("the browser starts");
        let id = answer["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{root}/{id}");
        browser.size(width, height);
        browser
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        let method = if body.is_null() { "GET" } else { "POST" };
        let url = format!("{}/{what}", self.session);
        send(method, &url, body).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Makes the page this wide and high, as a phone has it: narrower than a window can be.
    pub fn size(&self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": false});
        let command = "Emulation.setDeviceMetricsOverride";
        self.ask(
            "goog/cdp/execute",
            &json!({"cmd": command, "params": params}),
        );
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.ask("url", &json!({"url": url}));
    }

    /// What a function with this body returns in the page.
    pub fn run(&self, body: &str, arguments: &[Value]) -> Value {
        self.ask("execute/sync", &json!({"script": body, "args": arguments}))
    }

    /// The text that is seen of the first element that a CSS selector finds; empty if there is
    /// none.
    pub fn text(&self, selector: &str) -> String {
        let body = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.run(body, &[selector.into()]);
        text.as_str().unwrap_or_default().into()
    }

    /// How many elements a CSS selector finds.
    pub fn count(&self, selector: &str) -> usize {
        let body = "return document.querySelectorAll(arguments[0]).length";
        self.run(body, &[selector.into()]).as_u64().unwrap_or(0) as usize
    }

    /// Waits until the text of an element contains this.
    ///
    /// # Panics
    /// If it does not for too long, with the text that was there.
    pub fn wait_text(&self, selector: &str, part: &str) {
        if !wait::comes_true(|| self.text(selector).contains(part)) {
            panic!(
                "waited {PATIENCE:?} for {part:?} in {selector}: {}",
                self.text(selector)
            );
        }
    }

    /// Types keys as a keyboard does, into whatever has the focus.
    pub fn press(&self, keys: &str) {
        let pressed = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}))
        });
        let keyboard = json!({"type": "key", "id": "keyboard",
            "actions": pressed.collect::<Vec<_>>()});
        self.ask("actions", &json!({"actions": [keyboard]}));
    }

    /// What the page and the browser complained about since this was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.ask("se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let bad = entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].to_string()).collect()
    }

    /// Writes a picture of what is seen, as PNG.
    ///
    /// # Panics
    /// If it cannot be taken or written.
    pub fn picture(&self, path: &Path) {
        let params = json!({"format": "png", "captureBeyondViewport": false});
        let command = json!({"cmd": "Page.captureScreenshot", "params": params});
        let answer = self.ask("goog/cdp/execute", &command);
        let text = answer["data"].as_str().expect("a picture has data");
        let output = std::fs::File::create(path).expect("room for a picture");
        let mut decode = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(output)
            .spawn()
            .expect("base64 of coreutils is there");
        let mut input = decode.stdin.take().expect("stdin is piped");
        std::io::Write::write_all(&mut input, text.as_bytes()).expect("base64 reads it");
        drop(input);
        assert!(decode.wait().is_ok_and(|status| status.success()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser, then the driver. An error says that one of them has ended already.
        if !self.session.is_empty() {
            let _ = send("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The `value` of the driver's answer, or what it says went wrong.
fn send(method: &str, url: &str, body: &Value) -> Result<Value, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let answer = match method {
        "GET" => agent.get(url).call(),
        "DELETE" => agent.delete(url).call(),
        _ => agent
            .post(url)
            .content_type("application/json")
            .send(body.to_string()),
    };
    let mut answer = answer.map_err(|error| error.to_string())?;
    let text = answer.body_mut().with_config().limit(64 << 20);
    let text = text.read_to_string().map_err(|error| error.to_string())?;
    let mut answered: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let value = answered["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", value["message"])),
        None => Ok(value),
    }
}
