//! What goes wrong in the world, and how a run goes: faults for a while, then none, then rest.

use std::time::Duration;

use zmesh_node::forward::{DropReason, Instance};

use crate::membership::{Record, Standing};
use crate::oracle::{Kind, dropped};
use crate::plan::Plan;
use crate::world::{MOST_IDS, News, World};

/// Most nodes that there ever are at a time.
const MOST_NODES: usize = 5;

/// Once faults have stopped, the mesh has so long to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<(Kind, String)>,
    pub(crate) trace: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
}

/// Runs a plan to its end.
pub(crate) fn run(plan: Plan) -> Outcome {
    let mut world = World::new(plan);
    world.trace("plan", &world.plan.clone());
    for _ in 0..world.plan.steps {
        world.step();
        world.go_wrong();
        world.churn();
    }
    world.calm_down();
    if world.come_to_rest() {
        world.check_counts();
        world.check_losses();
        let before = world.oracle.violations.len();
        for subscriber in &mut world.subscribers {
            subscriber.owed.clear();
        }
        world.publish_everything();
        if world.come_to_rest() && before == 0 {
            world.check_losses();
        }
    }
    Outcome {
        trace: world.trace_hash(),
        published: world.oracle.published,
        delivered: world.oracle.delivered,
        violations: world.oracle.violations,
    }
}

impl World {
    pub(crate) fn step(&mut self) {
        let most_ms = if self.calm { 25 } else { self.plan.step_ms };
        self.pass_time(most_ms);
        self.hear_news();
        self.move_links();
        self.settle_clients();
        self.move_clients();
        self.finish_leaving();
    }

    fn go_wrong(&mut self) {
        let plan = self.plan.clone();
        if self.dice.chance(plan.resets) {
            self.reset_a_link();
        }
        if self.dice.chance(plan.cuts) {
            self.cut_a_link();
        }
        if self.dice.chance(plan.crashes) {
            self.crash();
        }
        if self.dice.chance(plan.false_deaths) {
            self.hold_dead_by_mistake();
        }
        if self.dice.chance(plan.joins) {
            for _ in 0..self.dice.between(1, 2) {
                self.join();
            }
        }
        if self.dice.chance(plan.leaves) {
            self.leave();
        }
    }

    fn reset_a_link(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        if let Some(id) = self.dice.pick(&ids) {
            self.break_session(id);
        }
    }

    /// Keeps a pair of nodes from being linked for a while, one way.
    fn cut_a_link(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        let Some(id) = self.dice.pick(&ids) else {
            return;
        };
        let session = &self.sessions[&id];
        let ends = [session.dialer, session.acceptor].map(|end| self.processes.get(&end));
        if let [Some(dialer), Some(acceptor)] = ends {
            let pair = (dialer.record.id, acceptor.record.id);
            let until = self.soon(self.plan.cut_ms);
            self.trace("cut", &(pair, until));
            self.cuts.insert(pair, until);
        }
        self.break_session(id);
    }

    fn crash(&mut self) {
        let ready = self.with_standing(Standing::Ready);
        if ready.len() < 2 {
            return;
        }
        let candidates = self.instances();
        let Some(victim) = self.dice.pick(&candidates) else {
            return;
        };
        self.trace("crash", &victim);
        self.oracle.crashed.insert(victim);
        self.end(victim);
    }

    /// A process is no more. The others hear of it one by one.
    fn end(&mut self, victim: Instance) {
        self.hang_up(victim);
        self.publishers.retain(|publisher| publisher.node != victim);
        self.subscribers
            .retain(|subscriber| subscriber.node != victim);
        if let Some(process) = self.processes.remove(&victim) {
            let stats = process.router.stats();
            self.oracle.dropped_before += dropped(&stats, DropReason::PassedOver);
            let gone = Record {
                standing: Standing::Gone,
                ..process.record
            };
            self.announce(gone, 200);
        }
    }

    /// A node holds another dead that lives, and takes it back later.
    fn hold_dead_by_mistake(&mut self) {
        let instances = self.instances();
        let (Some(one), Some(other)) = (self.dice.pick(&instances), self.dice.pick(&instances))
        else {
            return;
        };
        if one == other || !self.process(one).membership.holds_alive(other) {
            return;
        }
        let until = self.soon(4000);
        self.trace("holds dead", &(one, other, until));
        self.process(one).membership.doubt(other, until);
        self.blind(one);
        self.blind(other);
        self.refresh(one);
    }

    /// Until its links are made again and carry its interest, others may not know what it wants.
    fn blind(&mut self, node: Instance) {
        let until = self.now + Duration::from_secs(12);
        self.oracle.blind.insert(node, until);
    }

    fn join(&mut self) {
        let ready = self.with_standing(Standing::Ready);
        let living: Vec<u8> = self.processes.values().map(|p| p.record.id).collect();
        let free: Vec<u8> = (0..MOST_IDS).filter(|id| !living.contains(id)).collect();
        let (Some(seed), Some(id)) = (self.dice.pick(&ready), self.dice.pick(&free)) else {
            return;
        };
        if living.len() >= MOST_NODES {
            return;
        }
        let record = self.start(id);
        let due = self.soon(300);
        self.tell(record.instance(), due, News::TableOf(seed));
        self.announce(record, 10);
    }

    fn leave(&mut self) {
        let ready = self.with_standing(Standing::Ready);
        if let Some(node) = self.dice.pick(&ready)
            && ready.len() > 2
        {
            self.trace("leaves", &node);
            self.close_clients(node);
            self.stand(node, Standing::Leaving);
        }
    }

    fn finish_leaving(&mut self) {
        for node in self.with_standing(Standing::Leaving) {
            let stats = self.process(node).router.stats();
            if stats.undone_bytes == 0 && stats.unacked_bytes == 0 && self.dice.chance(0.1) {
                self.trace("has left", &node);
                self.end(node);
            }
        }
    }

    fn churn(&mut self) {
        if !self.dice.chance(self.plan.churn) {
            return;
        }
        let count = self.subscribers.len();
        match self.dice.below(6) {
            0 => {
                let nodes = self.instances();
                let node = self.dice.pick(&nodes);
                if let Some(node) = node
                    && self.process(node).record.standing != Standing::Leaving
                    && count < 3 * MOST_NODES
                {
                    self.open_subscriber(node);
                }
            }
            1 if count > 0 => {
                let index = self.dice.below(count);
                self.close_subscriber(index);
            }
            2 | 3 if count > 0 => {
                let index = self.dice.below(count);
                self.subscribe(index);
            }
            4 | 5 if count > 0 => {
                let index = self.dice.below(count);
                self.unsubscribe(index);
                if self.dice.chance(0.5) {
                    self.subscribe(index);
                }
            }
            _ => {}
        }
    }

    /// Faults stop; what they did stays to be mended.
    fn calm_down(&mut self) {
        self.trace("calm", &());
        self.heal();
        // What was owed when the faults stopped may be passed over for its silence until then.
        let until = self.now + Duration::from_secs(8);
        while self.now < until {
            self.calm = true;
            let passed_over = std::mem::take(&mut self.oracle.violations);
            self.step();
            let late = std::mem::replace(&mut self.oracle.violations, passed_over);
            let faultless = self.plan.is_faultless();
            let kept = late
                .into_iter()
                .filter(|(kind, _)| faultless || *kind != Kind::PassedOver);
            self.oracle.violations.extend(kept);
        }
    }

    /// Goes on until nothing is left to do. `false` if that never comes.
    pub(crate) fn come_to_rest(&mut self) -> bool {
        let until = self.now + PATIENCE;
        while let Some(unrest) = self.unrest() {
            if self.now > until {
                self.oracle.report(Kind::Restless, unrest);
                return false;
            }
            self.step();
        }
        true
    }
}
