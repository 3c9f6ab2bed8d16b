//! Whatever is written is read as it was.

use super::*;
use crate::forward::Instance;
use crate::link::wire::{self, decode};
use crate::zmtp::frames::{FrameLimits, Item, item_at};
use proptest::prelude::*;

const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 2,
};

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn any_id() -> impl Strategy<Value = TaskId> {
    any::<[u64; 2]>().prop_map(|[origin, number]| TaskId { origin, number })
}

fn any_tasks() -> impl Strategy<Value = Vec<Carried>> {
    let standing = prop::sample::select(vec![Standing::Ready, Standing::Given, Standing::Dead]);
    let task = (any_id(), any::<u8>(), standing, bytes());
    let task = task.prop_map(|(id, attempt, standing, body)| Carried {
        id,
        attempt,
        standing,
        body,
    });
    prop::collection::vec(task, 0..5)
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Reset),
        Just(Change::Forget),
        prop::collection::vec(any::<(u64, u64)>(), 0..5).prop_map(Change::Seen),
        any_tasks().prop_map(Change::Add),
        prop::collection::vec(any_id(), 0..5).prop_map(Change::Gone),
        (any_id(), any::<u8>(), any::<bool>()).prop_map(|(id, attempt, dead)| Change::Attempt {
            id,
            attempt,
            dead
        }),
    ]
}

fn any_seat() -> impl Strategy<Value = Seat> {
    let holding = prop::collection::vec(any_id(), 0..5);
    (bytes(), any::<[u32; 2]>(), holding, any::<u64>()).prop_map(
        |(queue, [worker, credit], holding, heard)| Seat {
            queue,
            worker: ClientId(worker),
            credit,
            holding,
            heard,
        },
    )
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = || prop::collection::vec(any_id(), 0..5);
    let worker = || any::<u32>().prop_map(ClientId);
    let pushed = (any::<u64>(), any::<bool>(), bytes()).prop_map(|(number, again, body)| Pushed {
        number,
        again,
        body,
    });
    prop_oneof![
        (bytes(), any::<u64>(), prop::collection::vec(pushed, 0..5)).prop_map(
            |(queue, after, tasks)| Message::Push {
                queue,
                after,
                tasks
            }
        ),
        bytes().prop_map(|queue| Message::PushAgain { queue }),
        (bytes(), any::<u64>()).prop_map(|(queue, number)| Message::Taken { queue, number }),
        (bytes(), any::<[u64; 2]>(), any_change()).prop_map(|(queue, [after, seq], change)| {
            Message::Copy {
                queue,
                after,
                seq,
                change,
            }
        }),
        (bytes(), any::<u64>()).prop_map(|(queue, seq)| Message::Copied { queue, seq }),
        prop::collection::vec(any_seat(), 0..4).prop_map(Message::Seats),
        any_seat().prop_map(Message::Seat),
        Just(Message::TellSeats),
        (bytes(), worker(), any::<u64>(), any_tasks()).prop_map(|(queue, worker, seq, tasks)| {
            Message::Give {
                queue,
                worker,
                seq,
                tasks,
            }
        }),
        (bytes(), worker(), ids()).prop_map(|(queue, worker, tasks)| Message::Done {
            queue,
            worker,
            tasks
        }),
        (bytes(), worker(), ids(), bytes()).prop_map(|(queue, worker, tasks, reason)| {
            Message::Failed {
                queue,
                worker,
                tasks,
                reason,
            }
        }),
        (bytes(), any::<u64>(), any::<bool>(), any_tasks()).prop_map(
            |(queue, seq, last, tasks)| Message::Move {
                queue,
                seq,
                last,
                seen: vec![(seq, 1)],
                tasks
            }
        ),
        (bytes(), any::<u64>()).prop_map(|(queue, seq)| Message::Moved { queue, seq }),
    ]
}

proptest! {
    #[test]
    fn every_message_arrives_as_it_was(message in any_message()) {
        let mut bytes = Vec::new();
        encode_queue(message.clone(), |part| bytes.extend_from_slice(&part));
        let chunk = Bytes::from(bytes);
        let Item::Message(span) = item_at(&chunk, 0, LIMITS).unwrap() else {
            panic!("no message")
        };
        prop_assert_eq!(span.end as usize, chunk.len());
        let read = decode(&chunk, &span, Instance(1)).unwrap();
        prop_assert_eq!(read, wire::Carried::Queue(message));
    }
}
