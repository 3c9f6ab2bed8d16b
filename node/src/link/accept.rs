//! Takes links from other nodes.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::session::{Link, LinkError};
use super::wire::Head;
use crate::close::CloseReason;
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
                hub.metrics.link_refused(CloseReason::TooManyConnections);
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
        Ok(Err(error)) => return refuse(hub, peer, &error, error.reason()),
        Err(_) => {
            let error = std::io::ErrorKind::TimedOut.into();
            let reason = Some(CloseReason::HandshakeTimeout);
            return refuse(hub, peer, &LinkError::Io(error), reason);
        }
    };
    let handle = hub.add_link(instance, Side::Accepted);
    hub.input(|router, now| router.handle_accepted(instance, now));
    tracing::debug!(peer = name, "link accepted");
    let error = link.run(instance, Side::Accepted, &handle).await;
    if hub.remove_link(instance, Side::Accepted, &handle) {
        hub.input(|router, _| router.handle_accepted_closed(instance));
    }
    match error.reason().filter(|reason| !reason.is_ordinary()) {
        Some(reason) => refuse(hub, peer, &error, Some(reason)),
        None => tracing::debug!(peer = name, reason = %error, "accepted link ended"),
    }
}

/// Tells of a connection that did not become a link, or that was closed for what it said.
fn refuse(hub: &Hub, peer: SocketAddr, error: &LinkError, reason: Option<CloseReason>) {
    let Some(reason) = reason else { return };
    hub.metrics.link_refused(reason);
    let name = reason.name();
    match error {
        // Two meshes that meet are worth waking someone.
        LinkError::Refused(why) => tracing::warn!(%peer, reason = name, why, "link refused"),
        _ if reason.is_ordinary() => tracing::debug!(%peer, reason = name, "no link came of it"),
        _ => tracing::info!(%peer, reason = name, %error, "link refused"),
    }
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
    .await?;
    let mut link = Link::new(hub, stream);
    let Head::Hello(hello) = link.read_head().await? else {
        return Err(LinkError::NoHello);
    };
    match link.check(&hello) {
        Ok(instance) => {
            link.trust();
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
