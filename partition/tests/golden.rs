//! The vectors of `golden.txt`: what this crate answers may never change within a protocol version.

use zmesh_partition::{Member, Partition, Table};

const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn the_golden_vectors_hold() {
    let computed: Vec<String> = GOLDEN.lines().map(recomputed).collect();
    assert!(
        computed.iter().eq(GOLDEN.lines()),
        "computed now:\n{}",
        computed.join("\n")
    );
}

/// The line with its last part computed anew.
fn recomputed(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["topic", hex, _] => format!("topic {hex} {}", Partition::of_topic(&bytes(hex))),
        ["table", count, weights, _] => {
            format!("table {count} {weights} {}", hash(&table(count, weights)))
        }
        ["owners", count, weights, number, ..] => {
            let partition = Partition::new(number.parse().unwrap()).unwrap();
            let owners = table(count, weights).owners(partition);
            let names: Vec<_> = owners.iter().map(|id| (id[0] - 1).to_string()).collect();
            format!("owners {count} {weights} {number} {}", names.join(" "))
        }
        _ => {
            assert!(
                line.is_empty() || line.starts_with('#'),
                "what is this line? {line}"
            );
            line.to_owned()
        }
    }
}

fn table(count: &str, weights: &str) -> Table {
    let weight = |index: u8| match weights {
        "equal" => 1,
        "mixed" => index % 4 + 1,
        _ => panic!("unknown weights {weights}"),
    };
    let members = (0..count.parse().unwrap()).map(|index: u8| Member {
        id: [index + 1; 16],
        weight: weight(index),
    });
    Table::new(&members.collect::<Vec<_>>())
}

fn hash(table: &Table) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for id in Partition::all().flat_map(|partition| table.owners(partition).to_vec()) {
        hasher.update(&id);
    }
    hasher.finalize()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = if hex == "-" { "" } else { hex };
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
