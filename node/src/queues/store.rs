//! The tasks of one queue, in their order.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::message::{Carried, Place, Standing, TaskId};
use crate::forward::Time;

/// What a task takes beside its bytes.
pub(super) const OVERHEAD_BYTES: usize = 128;

/// Where a task stands in the queue: those that came from another owner are before those that came
/// here first.
pub(super) type Order = (u8, u64);

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is not safe yet: nobody is given it.
    Untaken,
    Ready,
    /// Who has it, if that is known, and when another gets it.
    Given(Option<Place>, Time),
    Dead,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) order: Order,
    pub(super) attempt: u8,
    pub(super) state: State,
    pub(super) body: Bytes,
}

impl Task {
    pub(super) fn cost(&self) -> usize {
        OVERHEAD_BYTES + self.body.len()
    }

    pub(super) fn carried(&self, id: TaskId) -> Carried {
        let standing = match self.state {
            State::Untaken | State::Ready => Standing::Ready,
            State::Given(..) => Standing::Given,
            State::Dead => Standing::Dead,
        };
        Carried {
            id,
            attempt: self.attempt,
            standing,
            body: self.body.clone(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Store {
    tasks: HashMap<TaskId, Task>,
    /// All of them.
    order: BTreeMap<Order, TaskId>,
    /// Those that wait for a worker.
    ready: BTreeMap<Order, TaskId>,
    /// Those that nobody is given any more.
    dead: BTreeMap<Order, TaskId>,
    given: usize,
    bytes: usize,
    /// Of those, the ones of dead tasks.
    dead_bytes: usize,
    next: [u64; 2],
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn given(&self) -> usize {
        self.given
    }

    pub(super) fn dead(&self) -> usize {
        self.dead.len()
    }

    pub(super) fn dead_bytes(&self) -> usize {
        self.dead_bytes
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.tasks.contains_key(&id)
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// Puts a task behind those of its class. One that is there stays as it is.
    pub(super) fn add(&mut self, id: TaskId, class: u8, attempt: u8, state: State, body: Bytes) {
        if self.contains(id) {
            return;
        }
        let next = &mut self.next[usize::from(class.min(1))];
        *next += 1;
        let order = (class, *next);
        let task = Task {
            order,
            attempt,
            state: State::Untaken,
            body,
        };
        self.bytes += task.cost();
        self.order.insert(order, id);
        self.tasks.insert(id, task);
        self.set(id, state);
    }

    /// Changes how a task stands.
    pub(super) fn set(&mut self, id: TaskId, state: State) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        match task.state {
            State::Untaken => {}
            State::Ready => drop(self.ready.remove(&task.order)),
            State::Given(..) => self.given -= 1,
            State::Dead => {
                self.dead.remove(&task.order);
                self.dead_bytes -= task.cost();
            }
        }
        task.state = state;
        match state {
            State::Untaken => {}
            State::Ready => drop(self.ready.insert(task.order, id)),
            State::Given(..) => self.given += 1,
            State::Dead => {
                self.dead.insert(task.order, id);
                self.dead_bytes += task.cost();
            }
        }
    }

    pub(super) fn set_attempt(&mut self, id: TaskId, attempt: u8) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.attempt = attempt;
        }
    }

    pub(super) fn remove(&mut self, id: TaskId) -> Option<Task> {
        self.set(id, State::Untaken);
        let task = self.tasks.remove(&id)?;
        self.order.remove(&task.order);
        self.bytes -= task.cost();
        Some(task)
    }

    /// The first that waits for a worker.
    pub(super) fn first_ready(&self) -> Option<TaskId> {
        self.ready.values().next().copied()
    }

    pub(super) fn first_dead(&self) -> Option<TaskId> {
        self.dead.values().next().copied()
    }

    /// Those that nobody is given any more, oldest first.
    pub(super) fn dead_tasks(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        let tasks = self.dead.values();
        tasks.filter_map(|id| Some((*id, self.tasks.get(id)?)))
    }

    /// All tasks in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        let tasks = self.order.values();
        tasks.filter_map(|id| Some((*id, self.tasks.get(id)?)))
    }
}
