//! The two closed loops.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use crate::client::{Client, Faults};
use crate::epoll::Epoll;
use crate::measure::Reading;

const WARM_UP: Duration = Duration::from_secs(1);
/// A machine with other users has quiet moments; slices let them be told from the loud ones.
const SLICE: Duration = Duration::from_millis(50);
/// How long the last messages may take to arrive.
const DRAIN: Duration = Duration::from_secs(5);

/// What to do.
pub struct Plan {
    pub fanout: bool,
    pub url: String,
    /// All connections of an echo; in a fan-out all but the publisher.
    pub receivers: usize,
    pub in_flight: usize,
    pub bytes: usize,
    pub duration: Duration,
    pub server_pid: Option<u32>,
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    clients: Vec<Client>,
    template: Vec<u8>,
    scratch: Vec<u8>,
    faults: Faults,
    received: u64,
    /// Fan-out: receipts of each message under way, by its number modulo `in_flight`.
    receipts: Vec<usize>,
    sending: bool,
}

/// Runs the plan and returns the report as JSON.
pub fn run(plan: &Plan) -> io::Result<String> {
    let epoll = Epoll::new()?;
    // In a fan-out the last one publishes; it must not receive, which `expected` shows if it does.
    let connections = plan.receivers + usize::from(plan.fanout);
    let clients: Vec<Client> = (0..connections)
        .map(|_| Client::connect(&plan.url))
        .collect::<io::Result<_>>()?;
    for (token, client) in clients.iter().enumerate() {
        epoll.add(client.stream.as_raw_fd(), token)?;
    }
    let mut run = Run {
        plan,
        epoll,
        clients,
        template: vec![b'x'; plan.bytes],
        scratch: vec![0; 512 * 1024],
        faults: Faults::default(),
        received: 0,
        receipts: vec![0; plan.in_flight],
        sending: true,
    };
    eprintln!("floor-load: {connections} connected");
    run.begin()?;
    run.turn_until(Instant::now() + WARM_UP)?;
    let begin = Reading::take(run.received, plan.server_pid)?;
    let mut readings = vec![begin];
    let deadline = Instant::now() + plan.duration;
    while Instant::now() < deadline {
        run.turn_until(deadline.min(Instant::now() + SLICE))?;
        readings.push(Reading::take(run.received, plan.server_pid)?);
    }
    let end = readings[readings.len() - 1];
    run.sending = false;
    let deadline = Instant::now() + DRAIN;
    while run.received < run.expected() && Instant::now() < deadline {
        run.turn()?;
    }
    let Run {
        faults, received, ..
    } = &run;
    let expected = run.expected();
    let readings: Vec<String> = readings.iter().map(Reading::as_json).collect();
    Ok(format!(
        "{{{},\"readings\":[{}],\"received\":{received},\"expected\":{expected},\
         \"lost\":{},\"duplicated\":0,\"reordered\":{},\"corrupt\":{}}}",
        begin.report(&end),
        readings.join(","),
        faults.lost.max(expected.saturating_sub(*received)),
        faults.out_of_order,
        faults.corrupt,
    ))
}

impl Run<'_> {
    fn begin(&mut self) -> io::Result<()> {
        let senders = if self.plan.fanout {
            self.plan.receivers..self.plan.receivers + 1
        } else {
            0..self.plan.receivers
        };
        for client in &mut self.clients[senders] {
            (0..self.plan.in_flight).for_each(|_| client.push(&mut self.template));
            client.flush()?;
        }
        Ok(())
    }

    fn expected(&self) -> u64 {
        let pushed: u64 = self.clients.iter().map(Client::pushed).sum();
        if self.plan.fanout {
            pushed * self.plan.receivers as u64
        } else {
            pushed
        }
    }

    fn turn_until(&mut self, deadline: Instant) -> io::Result<()> {
        while Instant::now() < deadline {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut tokens = Vec::with_capacity(1024);
        self.epoll.wait(&mut tokens)?;
        for token in tokens {
            self.clients[token].flush()?;
            let arrived = self.receive(token)?;
            if !self.plan.fanout && self.sending && arrived > 0 {
                let client = &mut self.clients[token];
                (0..arrived).for_each(|_| client.push(&mut self.template));
                client.flush()?;
            }
        }
        Ok(())
    }

    /// Receives for one client; in a fan-out, publishes again what is thereby complete.
    fn receive(&mut self, token: usize) -> io::Result<usize> {
        let (mut arrived, mut complete) = (0, 0);
        let slots = self.receipts.len() as u64;
        self.clients[token].receive(
            &mut self.scratch,
            &self.template,
            &mut self.faults,
            |number| {
                arrived += 1;
                let slot = &mut self.receipts[(number % slots) as usize];
                *slot += 1;
                if *slot == self.plan.receivers {
                    *slot = 0;
                    complete += 1;
                }
            },
        )?;
        self.received += arrived as u64;
        if self.plan.fanout && self.sending && complete > 0 {
            let publisher = &mut self.clients[self.plan.receivers];
            (0..complete).for_each(|_| publisher.push(&mut self.template));
            publisher.flush()?;
        }
        Ok(arrived)
    }
}
