//! Made-up stock quotes, published through every node of the mesh by plain PUB sockets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rand::RngExt;

use super::Ready;

/// Symbols and the prices, in cents, that they start from.
const STOCKS: [(&str, i64); 8] = [
    ("AAPL", 18_732),
    ("AMZN", 17_810),
    ("GOOG", 14_155),
    ("INTC", 4_391),
    ("META", 48_450),
    ("MSFT", 41_020),
    ("NVDA", 87_535),
    ("TSLA", 17_283),
];
/// Pause between two quotes.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts the thread that publishes until the process ends.
pub(super) fn start(nodes: &[Ready]) -> Result<()> {
    let context = zmq::Context::new();
    let sockets: Vec<zmq::Socket> = nodes
        .iter()
        .map(|node| {
            let socket = context.socket(zmq::PUB)?;
            socket.set_linger(0)?;
            socket.connect(&format!("tcp://{}", node.client))?;
            Ok(socket)
        })
        .collect::<Result<_, zmq::Error>>()
        .context("cannot connect the demo to the nodes")?;
    std::thread::Builder::new()
        .name("demo".into())
        .spawn(move || publish(&sockets))
        .context("cannot start the demo")?;
    Ok(())
}

/// Each stock always goes through the same node, so that its quotes stay in order.
fn publish(sockets: &[zmq::Socket]) {
    let mut prices = STOCKS.map(|(_, price)| price);
    for number in (0..STOCKS.len()).cycle() {
        let symbol = STOCKS[number].0;
        let change = prices[number].clamp(1000, 1_000_000) / 500;
        prices[number] = (prices[number] + rand::rng().random_range(-change..=change)).max(100);
        let topic = format!("STOCK.{symbol}");
        let payload = quote(symbol, prices[number]);
        // A node that is gone costs its quotes: that is what a PUB socket does.
        let _ = sockets[number % sockets.len()].send_multipart([&topic, &payload], 0);
        std::thread::sleep(PAUSE);
    }
}

fn quote(symbol: &str, cents: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let price = cents as f64 / 100.0;
    // In this order, which a map would not keep.
    format!(
        r#"{{"symbol":"{symbol}","price":{price:.2},"time_ms":{}}}"#,
        now.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_json() {
        let value: serde_json::Value = serde_json::from_str(&quote("A", 12345)).expect("JSON");
        assert_eq!(value["symbol"], "A");
        assert_eq!(value["price"], 123.45);
    }
}
