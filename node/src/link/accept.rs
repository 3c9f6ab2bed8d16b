//! Takes links from other nodes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::session::{Link, LinkError};
use super::wire::Head;
use crate::hub::{Hub, Side};
use crate::zmtp::handshake;

/// A peer that has not said who it is by then is closed.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Most connections to the link port at a time: two for each member of a large mesh.
const MAX_CONNECTIONS: usize = 4096;

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts links for ever.
pub(crate) async fn listen(hub: Rc<Hub>, listener: TcpListener) {
    let open = Rc::new(());
    loop {
        match listener.accept().await {
            Ok(_) if Rc::strong_count(&open) > MAX_CONNECTIONS => {
                hub.metrics.link_refused("too_many_connections");
            }
            Ok((stream, peer)) => {
                let (hub, open) = (Rc::clone(&hub), Rc::clone(&open));
                spawn_local(async move {
                    serve(&hub, stream, peer).await;
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a link; is `ulimit -n` too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(hub: &Hub, stream: TcpStream, peer: SocketAddr) {
    let opened = tokio::time::timeout(HELLO_TIMEOUT, open(hub, stream)).await;
    let (mut link, instance, name) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(LinkError::Refused(reason))) => {
            hub.metrics.link_refused("mismatch");
            tracing::warn!(%peer, reason, "link refused");
            return;
        }
        Ok(Err(error)) => {
            hub.metrics.link_refused("bad_handshake");
            tracing::info!(%peer, %error, "connection to the link port closed");
            return;
        }
        Err(_) => {
            hub.metrics.link_refused("handshake_timeout");
            tracing::info!(%peer, "connection to the link port said nothing");
            return;
        }
    };
    let handle = hub.add_link(instance, Side::Accepted);
    hub.input(|router, now| router.handle_accepted(instance, now));
    tracing::debug!(peer = name, "link accepted");
    let error = link.run(instance, Side::Accepted, &handle).await;
    if hub.remove_link(instance, Side::Accepted, &handle) {
        hub.input(|router, _| router.handle_accepted_closed(instance));
    }
    tracing::debug!(peer = name, reason = %error, "accepted link ended");
}

async fn open(
    hub: &Hub,
    mut stream: TcpStream,
) -> Result<(Link<'_>, crate::forward::Instance, String), LinkError> {
    stream.set_nodelay(true)?;
    handshake::accept(&mut stream, |socket_type| match socket_type {
        "DEALER" => Ok("ROUTER"),
        _ => Err("this is the port for links between zmesh nodes".into()),
    })
    .await
    .map_err(|error| LinkError::Io(std::io::Error::other(error)))?;
    let mut link = Link::new(hub, stream);
    let Head::Hello(hello) = link.read_head().await? else {
        return Err(LinkError::Io(std::io::Error::other("no hello")));
    };
    match link.check(&hello) {
        Ok(instance) => {
            let own = link.hello();
            link.send_head(&own).await?;
            Ok((link, instance, hello.name))
        }
        Err(reason) => {
            link.send_head(&Head::Refused {
                reason: reason.clone(),
            })
            .await?;
            Err(LinkError::Refused(reason))
        }
    }
}
