//! What the cluster is measured against: plain publish and subscribe over async-nats, as its own examples have it.
//!
//! A publisher and a subscriber, each with a client, a thread and a runtime of its own. So many messages are on their way
//! at most: a subscriber that falls further behind would be a slow consumer, which loses.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_nats::{Client, Subject};
use bytes::Bytes;
use clap::Parser;
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// Plain publish and subscribe over async-nats.
#[derive(Debug, Parser)]
struct Arguments {
    /// The NATS server.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    url: String,
    /// The subject of all messages.
    #[arg(long, default_value = "bench.main.room.abc.bench")]
    subject: String,
    /// How many messages.
    #[arg(long, default_value_t = 300_000)]
    messages: u64,
    /// Bytes of each.
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages on their way at most.
    #[arg(long, default_value_t = 4_096)]
    window: u64,
}

/// What the subscriber has received, and that it has received more.
#[derive(Default)]
struct Flow {
    received: AtomicU64,
    more: Notify,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = measure(&arguments).and_then(|rate| {
        let line = format!("{{\"messages_per_second\":{rate:.0}}}\n");
        Ok(std::io::stdout().write_all(line.as_bytes())?)
    });
    if let Err(error) = result {
        let _ = writeln!(std::io::stderr(), "nats-floor: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Messages a second, from the first that is published to the last that is there.
fn measure(arguments: &Arguments) -> Result<f64, Failure> {
    let flow = Arc::new(Flow::default());
    let (subscriber, publisher) = (runtime()?, runtime()?);
    let mut messages = subscriber.block_on(async {
        let client = async_nats::connect(&arguments.url).await?;
        let messages = client.subscribe(arguments.subject.clone()).await?;
        client.flush().await?;
        Ok::<_, Failure>(messages)
    })?;
    let client = publisher.block_on(async_nats::connect(&arguments.url))?;
    std::thread::scope(|scope| {
        let began = Instant::now();
        let sending = scope.spawn(|| publisher.block_on(publish(&client, arguments, &flow)));
        subscriber.block_on(async {
            let told_each = (arguments.window / 8).max(1);
            for received in 1..=arguments.messages {
                messages.next().await.ok_or("the subscription has ended")?;
                if received % told_each == 0 {
                    flow.received.store(received, Ordering::Release);
                    flow.more.notify_one();
                }
            }
            Ok::<_, Failure>(())
        })?;
        let seconds = began.elapsed().as_secs_f64();
        sending.join().map_err(|_| "the publisher has panicked")??;
        Ok(arguments.messages as f64 / seconds)
    })
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn publish(client: &Client, arguments: &Arguments, flow: &Flow) -> Result<(), Failure> {
    let subject = Subject::from(arguments.subject.as_str());
    let payload = Bytes::from(vec![b'x'; arguments.bytes]);
    for sent in 0..arguments.messages {
        while sent - flow.received.load(Ordering::Acquire) >= arguments.window {
            flow.more.notified().await;
        }
        client.publish(subject.clone(), payload.clone()).await?;
    }
    client.flush().await?;
    Ok(())
}
