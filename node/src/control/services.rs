//! `/api/v1/services`: which services there are, who serves them, and what waits.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::api::{Asked, stopping};
use super::elsewhere::ask_all;
use crate::report;

/// Services of one node that are listed at most.
const LISTED: usize = 10_000;

/// Those that this node is the owner of.
pub(super) async fn services_here(State(shared): Asked) -> Response {
    match here(&shared).await {
        Some(services) => Json(services).into_response(),
        None => stopping(),
    }
}

/// Those of all nodes.
pub(super) async fn services(State(shared): Asked) -> Response {
    let path = "/api/v1/services-here".into();
    let others = ask_all(shared.others(), Method::GET, path);
    let (own, others) = tokio::join!(here(&shared), others);
    let Some(mut all) = own else {
        return stopping();
    };
    for (name, answer) in others {
        match answer {
            Ok(report::Services { services, .. }) => all.services.extend(services),
            Err(_) => all.silent.push(name),
        }
    }
    let key = |it: &report::Service| (it.name.clone(), it.owner.clone());
    all.services.sort_by_key(key);
    Json(all).into_response()
}

async fn here(shared: &Shared) -> Option<report::Services> {
    let ask = |hub: &crate::hub::Hub| hub.look_services(|services| services.list(LISTED));
    let listed = shared.data.ask(ask).await?;
    let view = Arc::clone(&shared.view.borrow());
    let names = view.names();
    let services = listed.into_iter().map(|service| report::Service {
        name: String::from_utf8_lossy(&service.name).into_owned(),
        owner: shared.name.clone(),
        waiting: service.waiting as u64,
        workers: service
            .workers
            .into_iter()
            .map(|worker| report::Worker {
                node: names
                    .get(&worker.node.0)
                    .map_or_else(String::new, |name| (*name).into()),
                id: worker.client.0.into(),
                credit: worker.credit,
                outstanding: worker.outstanding,
            })
            .collect(),
    });
    Some(report::Services {
        services: services.collect(),
        silent: Vec::new(),
    })
}
