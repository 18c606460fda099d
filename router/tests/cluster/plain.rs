//! Plain messages of NATS clients: how many a node takes, and how many their rooms.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_router::cluster::limits::{PLAIN_WAIT_MS, PLAIN_WAITING_MAX};
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{
    ClusterLink, Inbound, Input, LinkConfig, LinkDrop, PlainLimits, RoomRates,
};
use ringmain_router::lease::{LeaseGrant, Rated};
use ringmain_router::{PeerId, Rate, RoomName, ShardFrame, Tick};

use super::{SECRET, name};

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate::new(NonZeroU64::new(per_second).unwrap(), burst)
}

/// Rooms whose name begins with `rated`.
#[derive(Debug)]
struct SomeRooms(Rate);

impl RoomRates for SomeRooms {
    fn rate(&self, room: &RoomName) -> Option<Rate> {
        room.as_str().starts_with("rated").then_some(self.0)
    }
}

struct One {
    link: ClusterLink,
    now: Tick,
    asked: u64,
    /// Questions to lenders: of what, how many are wanted, how many given back.
    questions: Vec<(Rated, u64, u64)>,
    lanes_are_full: bool,
}

impl One {
    fn new(node: Option<Rate>, rooms: Rate) -> Self {
        let now = Tick(1_000);
        let mut link = ClusterLink::new(
            LinkConfig {
                cluster: "here".parse().unwrap(),
                node: "one".parse().unwrap(),
                incarnation: 7,
                address: String::new(),
                version: String::new(),
                room_secret: SECRET,
                outbound: OutboundLimits {
                    bytes_max: 10_000_000,
                    wait_ms: 2_000,
                },
                plain: PlainLimits {
                    message_bytes_max: 10,
                    rate: node,
                    rooms: Arc::new(SomeRooms(rooms)),
                },
                shards: 2,
            },
            now,
        );
        let payload_bytes_max = 71;
        link.handle(now, Input::Connected { payload_bytes_max });
        while link.poll_message().is_some() {}
        One {
            link,
            now,
            asked: 0,
            questions: Vec::new(),
            lanes_are_full: false,
        }
    }

    fn ask(&mut self, room: &str, text: &str) {
        let inbound = Inbound {
            subject: format!("ringmain.here.publish.{room}"),
            reply: Some(format!("reply.{}", self.asked)),
            payload: Bytes::copy_from_slice(text.as_bytes()),
        };
        self.asked += 1;
        self.handle(Input::Received(inbound));
    }

    fn handle(&mut self, input: Input) {
        self.link.handle(self.now, input);
        let (full, questions) = (self.lanes_are_full, &mut self.questions);
        self.link.send_frames(self.now, |to, frame| match frame {
            frame if full => Err(frame),
            ShardFrame::LeaseWanted(asked) => {
                assert_eq!((to, asked.from), (asked.of.lender(2), PeerId::CONTROL));
                questions.push((asked.of, asked.wanted, asked.unused));
                Ok(())
            }
            other => panic!("{other:?}"),
        });
    }

    fn lend(&mut self, of: Rated, messages: u64, wait_ms: u64) {
        let grant = LeaseGrant {
            of,
            messages,
            wait_ms,
        };
        self.handle(Input::Frame(ShardFrame::Lease(Box::new(grant))));
    }

    fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.now = self.now.plus(10);
            self.handle(Input::Turn);
        }
    }

    /// Answers since the last call: to which question, and what.
    fn answers(&mut self) -> Vec<(u64, String)> {
        let mut answers = Vec::new();
        while let Some((_, message)) = self.link.poll_answer() {
            if let Some(number) = message.subject.strip_prefix("reply.") {
                let text = String::from_utf8(message.payload.to_vec()).unwrap();
                answers.push((number.parse().unwrap(), text));
            }
        }
        answers
    }

    fn oks(&mut self) -> Vec<bool> {
        let is_ok = |(_, text): (u64, String)| text == "{\"ok\":true}";
        self.answers().into_iter().map(is_ok).collect()
    }

    fn dropped(&self, reason: LinkDrop) -> u64 {
        self.link.counters().drops[reason as usize]
    }
}

fn room(text: &str) -> Rated {
    Rated::Room(SECRET.id(&name(text)))
}

#[test]
fn a_node_takes_so_many_a_second_and_says_so_of_the_others() {
    let mut one = One::new(Some(rate(10, 3)), rate(1, 1));
    for _ in 0..5 {
        one.ask("lobby", "x");
    }
    let answers = one.answers();
    let ok = "{\"ok\":true}";
    assert!(answers[..3].iter().all(|(_, text)| text == ok));
    assert!(answers[3].1.contains("try again in 100 ms"), "{answers:?}");
    assert_eq!(one.dropped(LinkDrop::NodeRate), 2);
    one.pass(100);
    one.ask("lobby", "x");
    assert_eq!(one.oks(), [true]);
    assert_eq!(one.link.counters().published, 4);
    // What is too large costs nothing of the rate.
    one.pass(100);
    one.ask("lobby", "much too large");
    one.ask("lobby", "x");
    assert_eq!(one.oks(), [false, true]);
    assert_eq!(one.dropped(LinkDrop::Refused), 1);
    assert!(one.questions.is_empty(), "no room has a rate");
}

#[test]
fn a_rooms_messages_wait_for_its_lender_in_their_order_and_no_more_pass_than_it_lends() {
    let mut one = One::new(None, rate(1_000, 1_000));
    for _ in 0..4 {
        one.ask("rated", "x");
    }
    one.ask("lobby", "x");
    assert_eq!(one.answers().len(), 1, "the other room does not wait");
    assert_eq!(one.questions, [(room("rated"), 1, 0)]);
    one.lend(room("rated"), 1, 0);
    assert_eq!(one.answers()[0].0, 0);
    let (_, wanted, _) = one.questions[1];
    assert_eq!(wanted, 3, "as many as wait");
    one.lend(room("rated"), 2, 0);
    let answered: Vec<_> = one.answers().iter().map(|(number, _)| *number).collect();
    assert_eq!(answered, [1, 2]);
    one.lend(room("rated"), 0, 70);
    let answers = one.answers();
    assert_eq!(answers[0].0, 3);
    assert!(answers[0].1.contains("try again in 70 ms"), "{answers:?}");
    // Until then nobody is asked.
    one.ask("rated", "x");
    assert_eq!((one.oks(), one.questions.len()), (vec![false], 3));
    assert_eq!(one.dropped(LinkDrop::RoomRate), 2);
    one.pass(70);
    one.ask("rated", "x");
    one.lend(room("rated"), 1, 0);
    assert_eq!(one.oks(), [true]);
}

#[test]
fn what_is_lent_and_not_used_is_given_back_and_the_lease_is_forgotten() {
    let mut one = One::new(None, rate(1_000, 1_000));
    one.ask("rated", "x");
    one.lend(room("rated"), 5, 0);
    one.pass(100);
    assert_eq!(
        one.questions,
        [(room("rated"), 1, 0), (room("rated"), 0, 4)]
    );
    one.ask("rated", "x");
    assert_eq!(one.questions[2], (room("rated"), 1, 0));
}

#[test]
fn what_is_not_answered_in_time_or_finds_no_room_is_refused_by_name() {
    let mut one = One::new(None, rate(1_000, 1_000));
    one.lanes_are_full = true;
    for _ in 0..=PLAIN_WAITING_MAX {
        one.ask("rated", "x");
    }
    assert_eq!(one.oks(), [false], "the one too many");
    one.pass(PLAIN_WAIT_MS - 100);
    assert!(one.answers().is_empty());
    one.pass(100);
    assert_eq!(one.oks(), vec![false; PLAIN_WAITING_MAX]);
    let all = PLAIN_WAITING_MAX as u64 + 1;
    assert_eq!(one.dropped(LinkDrop::RateUnknown), all);
    // There is room again.
    one.lanes_are_full = false;
    one.ask("rated", "x");
    one.lend(room("rated"), 1, 0);
    assert_eq!(one.oks(), [true]);
    assert_eq!(one.link.counters().published, 1);
}

#[test]
fn what_does_not_fit_into_an_envelope_is_refused_and_reaches_nobody() {
    let mut one = One::new(None, rate(1, 1));
    // An envelope takes up to 63 bytes of the 71 that the broker takes.
    one.ask("lobby", "12345678");
    one.ask("lobby", "123456789");
    let answers = one.answers();
    assert_eq!(answers[0].1, "{\"ok\":true}");
    assert!(answers[1].1.contains("9 bytes; at most 8"), "{answers:?}");
    assert_eq!(one.link.counters().published, 1);
}

#[test]
fn what_still_waits_when_the_node_ends_is_refused() {
    let mut one = One::new(None, rate(1_000, 1_000));
    one.ask("rated", "x");
    one.ask("rated-too", "x");
    assert!(one.answers().is_empty(), "the lenders have not answered");
    one.handle(Input::Leave);
    let mut last = Vec::new();
    while let Some((_, message)) = one.link.poll_answer() {
        last.push((message.subject, message.payload));
    }
    assert_eq!(last.len(), 2, "{last:?}");
    for (subject, payload) in &last {
        assert!(subject.starts_with("reply."), "{subject}");
        let text = String::from_utf8_lossy(payload);
        assert!(text.contains("this node ends"), "{text}");
    }
    assert_eq!(one.dropped(LinkDrop::RateUnknown), 2);
    one.lend(room("rated"), 1, 0);
    assert_eq!(
        one.link.counters().published,
        0,
        "what was refused is not sent"
    );
}

/// Who may publish to one room could else have nodes say things that it may not say itself.
#[test]
fn nobody_is_answered_at_a_subject_of_nodes_or_of_the_server() {
    let mut one = One::new(None, rate(1_000, 1_000));
    let subjects = [
        "ringmain.here.nodes",
        "ringmain.here.publish.vault",
        "ringmain.elsewhere.last",
        "$SYS.REQ.SERVER.PING",
        "$JS.API.STREAM.PURGE.orders",
    ];
    for room in ["lobby", "not=a=room"] {
        for reply in subjects {
            one.handle(Input::Received(Inbound {
                subject: format!("ringmain.here.publish.{room}"),
                reply: Some(reply.to_owned()),
                payload: Bytes::from_static(b"x"),
            }));
        }
    }
    let link = &mut one.link;
    let messages = std::iter::from_fn(|| link.poll_message().or_else(|| link.poll_answer()));
    let wrong: Vec<_> = messages
        .map(|(_, message)| message.subject)
        .filter(|subject| subjects.contains(&subject.as_str()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(one.link.counters().published, 5, "what they say is heard");
}
