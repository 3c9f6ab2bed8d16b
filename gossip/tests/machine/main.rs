//! Many machines on a network in memory.

mod faults;
mod joining;
mod network;
mod records;
mod signs;
