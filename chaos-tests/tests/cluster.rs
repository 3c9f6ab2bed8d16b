//! How nodes come together, keep apart, and part.

use chaos_tests::live::mesh::{new_cluster, settle};
use chaos_tests::live::options::own_host;
use chaos_tests::live::{Mesh, Node, Options, wait};
use zmesh_node::report;

/// Ports on an address of a test's own.
const PORTS: [u16; 3] = [5555, 5556, 5557];

fn state_of(asked: &Node, name: &str) -> Option<String> {
    let members = asked.ask::<report::Members>("/api/v1/members")?.members;
    members
        .into_iter()
        .find(|member| member.name == name)
        .map(|member| member.state)
}

#[test]
fn a_chain_of_five_comes_to_one_view_in_whatever_order_it_starts() {
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 1, 3, 0]] {
        let cluster = new_cluster();
        let hosts = [0; 5].map(|_| own_host());
        let mut nodes: Vec<Node> = Vec::new();
        for number in order {
            let options = Options::new(&format!("n{number}"), &cluster);
            let options = match number {
                0 => options,
                _ => options.seed(&format!("{}:{}", hosts[number - 1], PORTS[1])),
            };
            nodes.push(Node::spawn(options.at(&hosts[number], PORTS)));
        }
        nodes.iter_mut().for_each(Node::wait_ready);
        settle(&nodes.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_seed_that_starts_after_everyone_else_brings_them_together() {
    let cluster = new_cluster();
    let host = own_host();
    let seed = format!("{host}:{}", PORTS[1]);
    let one = Node::start(Options::new("one", &cluster).seed(&seed));
    let other = Node::start(Options::new("other", &cluster).seed(&seed));
    assert_eq!((one.status().view_size, other.status().view_size), (1, 1));
    let late = Node::start(Options::new("late", &cluster).at(&host, PORTS));
    settle(&[&one, &other, &late]);
}

#[test]
fn a_node_of_another_cluster_is_refused_and_both_logs_name_both_clusters() {
    let (one, other) = (new_cluster(), new_cluster());
    let first = Node::start(Options::new("first", &one));
    let second = Node::start(Options::new("second", &other).seed(&first.gossip));
    for node in [&first, &second] {
        wait::until_true("a line with both clusters", || {
            node.log()
                .lines()
                .any(|line| line.contains(&one) && line.contains(&other))
        });
    }
    for (node, stranger) in [(&first, "second"), (&second, "first")] {
        assert_eq!(node.status().view_size, 1);
        assert_eq!(state_of(node, stranger), None);
    }
}

#[test]
fn a_second_process_with_the_same_name_is_refused_with_the_remedy() {
    let mesh = Mesh::start(2);
    let twin = Options::new("n1", &mesh.cluster).seed(&mesh.nodes[1].gossip);
    let mut twin = Node::spawn(twin);
    assert_eq!(twin.wait_end(), Some(2), "{}", twin.log());
    let log = wait::until("the reason", || {
        Some(twin.log()).filter(|log| log.contains("--name"))
    });
    assert!(log.contains("n1"), "{log}");
    mesh.settle();
    assert_eq!(mesh.nodes[0].status().state, "ready");
}

#[test]
fn a_killed_node_is_dead_and_a_stopped_one_has_left() {
    let mut mesh = Mesh::start(3);
    mesh.nodes[1].kill();
    let rest = [&mesh.nodes[0], &mesh.nodes[2]];
    settle(&rest);
    for node in rest {
        wait::until_true("n2 to be dead", || {
            state_of(node, "n2").as_deref() == Some("dead")
        });
    }
    mesh.nodes[2].signal("TERM");
    assert_eq!(mesh.nodes[2].wait_end(), Some(0), "{}", mesh.nodes[2].log());
    let last = &mesh.nodes[0];
    settle(&[last]);
    wait::until_true("n3 to have left", || {
        state_of(last, "n3").as_deref() == Some("left")
    });
}

#[test]
fn a_restarted_node_is_the_same_member_again() {
    let mut mesh = Mesh::start(3);
    let before = mesh.nodes[0].status().view_hash;
    mesh.nodes[1].restart();
    mesh.settle();
    assert_ne!(
        mesh.nodes[0].status().view_hash,
        before,
        "another instance, another view"
    );
    let members: report::Members = mesh.nodes[0].ask("/api/v1/members").unwrap();
    assert_eq!(
        members.members.len(),
        3,
        "the restarted node is not a fourth"
    );
}

#[test]
fn a_node_that_stood_still_is_back_in_the_view_afterwards() {
    let mesh = Mesh::start(3);
    mesh.nodes[1].signal("STOP");
    settle(&[&mesh.nodes[0], &mesh.nodes[2]]);
    mesh.nodes[1].signal("CONT");
    mesh.settle();
}

#[test]
fn every_node_gives_the_same_owners_and_fair_shares() {
    let mesh = Mesh::start(3);
    for topic in ["STOCK.AAPL", "10001", "x"] {
        let path = format!("/api/v1/owner?topic={topic}");
        let owners: Vec<report::Owner> = mesh
            .nodes
            .iter()
            .map(|node| node.ask(&path).unwrap())
            .collect();
        assert!(owners.iter().all(|owner| owner.owner == owners[0].owner));
        assert_eq!(owners[0].successors.len(), 2);
    }
    let ring: report::Ring = mesh.nodes[0].ask("/api/v1/ring").unwrap();
    assert_eq!(
        ring.owners
            .iter()
            .map(|owner| owner.partitions)
            .sum::<u32>(),
        16384
    );
    assert!(
        ring.owners.iter().all(|owner| owner.share <= 1.1 / 3.0),
        "{ring:?}"
    );
}

#[test]
fn an_idle_node_takes_less_than_40_mib() {
    let mesh = Mesh::start(3);
    for node in &mesh.nodes {
        assert!(node.memory() < 40 << 20, "{} MiB", node.memory() >> 20);
    }
}
