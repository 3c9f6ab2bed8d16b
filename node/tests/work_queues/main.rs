//! Several cores of work queues against each other in memory, with faults that a seed decides: no
//! task that was safe is lost, and one that is given twice says so.

#[path = "../services/words.rs"]
mod words;
mod world;

use std::collections::BTreeSet;

use zmesh_node::queues::Limits;

use words::messages;
use world::{QUEUES, What, World};

/// Tasks, those given twice, those that are dead, and deaths of nodes.
fn run(seed: u64, what: What, limits: Limits) -> [u64; 4] {
    let mut world = World::new(seed, 2 + seed % 4, limits);
    for _ in 0..1500 {
        world.step(what);
    }
    world.work_off(seed);
    let dead: BTreeSet<u64> = world
        .nodes
        .values()
        .flat_map(|it| QUEUES.map(|queue| it.dead_tasks(queue.as_bytes(), usize::MAX)))
        .flatten()
        .map(|(_, _, body)| {
            let parts = messages(&body).remove(0);
            String::from_utf8_lossy(&parts[0]).parse().expect("a tag")
        })
        .collect();
    for (tag, told) in &world.tasks {
        let ended = told.done > 0 || told.excused || dead.contains(tag);
        assert!(ended, "seed {seed}: task {tag} is lost");
        assert!(
            what == What::Faults || !dead.contains(tag) || told.given >= 4,
            "seed {seed}: {tag} died too soon"
        );
    }
    let twice = world.tasks.values().filter(|it| it.done > 1).count();
    let all = world.tasks.len();
    [
        all as u64,
        twice as u64,
        dead.len() as u64,
        world.deaths.into(),
    ]
}

fn many(what: What, limits: Limits) -> [u64; 4] {
    let mut sum = [0; 4];
    for seed in 0..200 {
        for (sum, one) in sum.iter_mut().zip(run(seed, what, limits)) {
            *sum += one;
        }
    }
    sum
}

#[test]
fn no_task_that_is_safe_is_lost_whatever_dies() {
    let [tasks, twice, _, deaths] = many(What::Faults, Limits::default());
    assert!(
        tasks > 50_000 && deaths > 500,
        "{tasks} tasks, {deaths} deaths"
    );
    assert!(
        twice > 0 && twice * 10 < tasks,
        "{twice} of {tasks} were done twice"
    );
}

#[test]
fn small_queues_hold_back_their_pushers_and_lose_nothing() {
    let limits = Limits {
        queue_tasks: 5,
        pusher_tasks: 3,
        ..Limits::default()
    };
    many(What::Faults, limits);
}

#[test]
fn when_nodes_come_and_leave_few_tasks_are_done_twice() {
    let [tasks, twice, ..] = many(What::Moves, Limits::default());
    assert!(tasks > 50_000 && twice * 20 < tasks, "{twice} of {tasks}");
}

#[test]
fn while_the_mesh_stays_as_it_is_no_task_is_done_twice() {
    let [tasks, twice, ..] = many(What::Work, Limits::default());
    assert!(tasks > 50_000 && twice == 0, "{twice} of {tasks}");
}
