//! Publications that wait for the broker together go as one message.

use ringmain_router::cluster::Envelope;

use super::*;

fn publish(link: &mut ClusterLink, now: Tick, cell: &Arc<RoomCell>, payload: Bytes) {
    let publication = Arc::new(Publication {
        kind: match payload.first() {
            Some(0..0x80) | None => PayloadKind::Text,
            Some(_) => PayloadKind::Binary,
        },
        payload,
        exclude: None,
        began: None,
    });
    let cell = cell.clone();
    link.handle(
        now,
        Input::Frame(ShardFrame::ToCluster { cell, publication }),
    );
}

/// The publications of room messages, by subject, in order, each with its place.
fn parts(messages: &[Message]) -> Vec<(String, u64, Bytes)> {
    let rooms = messages.iter().filter(|message| message.publications > 0);
    rooms
        .flat_map(|message| {
            let envelope = Envelope::decode(&message.payload).unwrap();
            assert_eq!(message.publications, 1 + envelope.more.len() as u64);
            let more = envelope.more.into_iter().map(|(_, payload)| payload);
            std::iter::once(envelope.payload)
                .chain(more)
                .zip(envelope.sequence..)
                .map(|(payload, sequence)| (message.subject.clone(), sequence, payload))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn many_of_one_room_go_as_few_messages_and_none_is_larger_than_the_broker_takes() {
    let mut link = link(0, 100, Tick(1_000));
    let cell = cell("lobby");
    for n in 0..100u8 {
        publish(&mut link, Tick(1_000), &cell, Bytes::from(vec![n; 50]));
    }
    let polled = std::iter::from_fn(|| Some(link.poll_message()?.1));
    let messages: Vec<_> = polled.filter(|message| message.publications > 0).collect();
    assert_eq!(parts(&messages).len(), 100);
    assert!(messages.len() <= 7, "{}", messages.len());
    assert!(
        messages
            .iter()
            .all(|message| message.payload.len() <= 1_000)
    );
}

proptest! {
    /// Whatever is published when, and whenever the broker takes something.
    #[test]
    fn what_is_published_comes_out_once_in_the_order_of_its_room(
        steps in prop::collection::vec((0usize..3, 0usize..200, 0u64..2, prop::bool::weighted(0.2)), 0..200),
    ) {
        let mut link = link(0, 100, Tick(1_000));
        let cells = ROOMS.map(cell);
        let mut now = Tick(1_000);
        let (mut said, mut messages): ([Vec<Bytes>; 3], Vec<Message>) = Default::default();
        for (number, (room, length, later, takes)) in steps.into_iter().enumerate() {
            now = now.plus(later);
            let payload = Bytes::from(vec![number as u8; length]);
            said[room].push(payload.clone());
            publish(&mut link, now, &cells[room], payload);
            if takes {
                messages.extend(link.poll_message().map(|(_, message)| message));
            }
        }
        messages.extend(std::iter::from_fn(|| Some(link.poll_message()?.1)));
        prop_assert_eq!(link.counters().drops[LinkDrop::QueueFull as usize], 0);
        prop_assert_eq!(link.outbound().bytes(), 0);
        let parts = parts(&messages);
        let mut places = std::collections::BTreeMap::<_, Vec<_>>::new();
        for (subject, sequence, payload) in parts {
            places.entry(subject).or_default().push((sequence, payload));
        }
        let mut came: Vec<Vec<Bytes>> = Vec::new();
        for parts in places.into_values() {
            prop_assert!(parts.iter().map(|(sequence, _)| *sequence).eq(1..=parts.len() as u64));
            came.push(parts.into_iter().map(|(_, payload)| payload).collect());
        }
        let mut said: Vec<_> = said.into_iter().filter(|said| !said.is_empty()).collect();
        said.sort();
        came.sort();
        prop_assert_eq!(came, said);
    }
}
