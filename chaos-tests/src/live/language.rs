//! The languages that client programs and examples are written in, and how to run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What a client is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// pyzmq.
    Python,
    /// The npm package zeromq.
    Node,
    /// libzmq.
    C,
}

impl Language {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Python, Self::Node, Self::C];

    /// The command that runs the client program; compiles the one in C first.
    pub(super) fn command(self) -> Command {
        match self {
            Self::Python => {
                let mut command = Command::new(python());
                command.arg(clients().join("client.py"));
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command
                    .arg(clients().join("client.js"))
                    .env("NODE_PATH", node_modules());
                command
            }
            Self::C => Command::new(c_client()),
        }
    }

    /// The command that runs the program which loads a mesh.
    ///
    /// # Panics
    /// If there is none in this language.
    pub(super) fn load_command(self) -> Command {
        match self {
            Self::Python => {
                let mut command = Command::new(python());
                command.arg(clients().join("load.py"));
                command
            }
            Self::Node => panic!("there is no load in JavaScript"),
            Self::C => Command::new(c_load()),
        }
    }
}

/// The folder of the examples.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The folder of the client programs.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A Python that has pyzmq.
///
/// # Panics
/// If there is none.
pub fn python() -> &'static str {
    let has_zmq = |python: &&str| {
        let quiet = Command::new(python)
            .args(["-c", "import zmq"])
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_zmq);
    found.expect("no Python with pyzmq here: run `make setup`")
}

fn node_modules() -> PathBuf {
    let modules = examples().join("node/node_modules");
    assert!(
        modules.join("zeromq").exists(),
        "no zeromq for Node.js here: run `make setup`"
    );
    modules
}

/// A program that is compiled once for this test.
type Compiled = OnceLock<PathBuf>;

/// The client in C.
fn c_client() -> &'static Path {
    static PROGRAM: Compiled = OnceLock::new();
    compiled("client.c", &PROGRAM)
}

/// The load in C.
fn c_load() -> &'static Path {
    static PROGRAM: Compiled = OnceLock::new();
    compiled("load.c", &PROGRAM)
}

fn compiled(source: &str, program: &'static Compiled) -> &'static Path {
    program.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a place");
        // Beside the test, with what else is built: a value that lives as long as the process is
        // never dropped, and would leave its folder behind.
        let beside = test.parent().expect("a file is in a folder");
        let folder = tempfile::tempdir_in(beside).expect("a place to compile");
        let made = compile_c(&clients().join(source), folder.path());
        let program = beside.join(made.file_name().expect("a program has a name"));
        // Another test may run the one that was there: it goes on with that.
        std::fs::rename(made, &program).expect("one folder is as good as the other");
        program
    })
}

/// Compiles a C program with libzmq into a folder.
///
/// # Panics
/// If there is no compiler or no libzmq.
pub fn compile_c(source: &Path, folder: &Path) -> PathBuf {
    let program = folder.join(source.file_stem().expect("a source has a name"));
    let compiler = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .arg("-lzmq")
        .status();
    let compiled = compiler.is_ok_and(|status| status.success());
    assert!(
        compiled,
        "{} does not compile: run `make setup`",
        source.display()
    );
    program
}
