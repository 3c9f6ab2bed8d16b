//! Keeps a link to one other node, for as long as membership holds that node alive.

use std::rc::Rc;

use tokio::net::TcpStream;

use super::session::{Link, LinkError};
use super::timing::{FIRST_PAUSE, LAST_PAUSE, OPEN_TIMEOUT};
use super::wire::Head;
use crate::events::Kind;
use crate::forward::Instance;
use crate::hub::{Hub, Side};
use crate::zmtp::handshake;

/// A node to keep a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) instance: Instance,
    pub(crate) name: String,
    /// `host:port` of its links.
    pub(crate) address: String,
}

/// Dials for ever.
pub(crate) async fn dial(hub: Rc<Hub>, target: Target) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let error = match tokio::time::timeout(OPEN_TIMEOUT, open(&hub, &target)).await {
            Ok(Ok(link)) => {
                (pause, told) = (FIRST_PAUSE, false);
                carry(&hub, &target, link).await
            }
            Ok(Err(error)) => error,
            Err(_) => LinkError::Io(std::io::ErrorKind::TimedOut.into()),
        };
        tell_membership(&hub, &target, &error);
        if !std::mem::replace(&mut told, true) {
            tracing::info!(
                peer = target.name, address = target.address, %error, "link down, trying again"
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Where the process at the other end seems to have gone, membership looks at once.
fn tell_membership(hub: &Hub, target: &Target, error: &LinkError) {
    use std::io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    let kind = match error {
        LinkError::Closed => ConnectionReset,
        LinkError::Io(error) => error.kind(),
        _ => return,
    };
    match kind {
        ConnectionRefused => hub.gossip.refused(target.address.clone()),
        ConnectionReset | BrokenPipe => hub.gossip.reset(target.address.clone()),
        _ => {}
    }
}

async fn open<'a>(hub: &'a Hub, target: &Target) -> Result<Link<'a>, LinkError> {
    let mut stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    handshake::connect(&mut stream, "DEALER").await?;
    let mut link = Link::new(hub, stream);
    // The answer to the hello may come together with what follows it.
    link.trust();
    let own = link.hello();
    link.send_head(&own).await?;
    let hello = match link.read_head().await? {
        Head::Hello(hello) => hello,
        Head::Refused { reason } => return Err(LinkError::Refused(reason)),
        _ => return Err(LinkError::NoHello),
    };
    let instance = link.check(&hello).map_err(LinkError::Refused)?;
    if instance != target.instance {
        let reason = format!("{} is now another process", target.name);
        return Err(LinkError::Refused(reason));
    }
    Ok(link)
}

async fn carry(hub: &Hub, target: &Target, mut link: Link<'_>) -> LinkError {
    let handle = hub.add_link(target.instance, Side::Dialed);
    hub.input(|router, now| router.handle_link_up(target.instance, now));
    hub.input_services(|services, now| services.handle_link_up(target.instance, now));
    hub.input_queues(|queues, now| queues.handle_link_up(target.instance, now));
    let text = format!("link to {} at {} is up", target.name, target.address);
    hub.events.tell(Kind::LinkUp, &target.name, &text, &[]);
    let mut down = Down {
        hub,
        target,
        why: "the peer is no member that lives any more".into(),
    };
    let ended = link.run(target.instance, Side::Dialed, &handle).await;
    down.why = ended.to_string();
    ended
}

/// Tells that a link has ended, also when its task is ended from outside.
struct Down<'a> {
    hub: &'a Hub,
    target: &'a Target,
    why: String,
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let instance = self.target.instance;
        self.hub.forget_link(instance, Side::Dialed);
        self.hub
            .input(|router, now| router.handle_link_down(instance, now));
        let Target { name, address, .. } = self.target;
        let text = format!("link to {name} at {address} is down: {}", self.why);
        let fields = [("why", self.why.clone())];
        let events = &self.hub.events;
        events.tell(Kind::LinkDown, name, &text, &fields);
    }
}
