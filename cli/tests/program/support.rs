//! Running the program, and being the other side of its sockets.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// The program with these arguments and none of the caller's own settings.
pub(crate) fn zmesh(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zmesh"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZMESH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a finished run left behind.
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// All of stdout.
    pub(crate) stdout: String,
    /// All of stderr.
    pub(crate) stderr: String,
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Run {
    Program::start(arguments).run()
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// A server that gives one HTTP answer, and then the request line it was asked with.
pub(crate) fn http_answer(
    status: &'static str,
    body: &'static str,
) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        answer(stream, status, body)
    });
    (address, server)
}

fn answer(mut stream: TcpStream, status: &str, body: &str) -> String {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let request = lines.next().expect("a request").expect("a line");
    let end_of_head = |line: &std::io::Result<String>| line.as_ref().is_ok_and(String::is_empty);
    lines
        .find(end_of_head)
        .expect("the head ends")
        .expect("a line");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    request
}

/// A libzmq socket on a free port, and its address.
pub(crate) fn bound(kind: zmq::SocketType) -> (zmq::Socket, String) {
    let socket = zmq::Context::new().socket(kind).expect("a socket");
    socket.set_rcvtimeo(20_000).expect("an option");
    socket.set_linger(0).expect("an option");
    socket.bind("tcp://127.0.0.1:*").expect("a free port");
    let endpoint = socket.get_last_endpoint().expect("bound").expect("UTF-8");
    let address = endpoint.strip_prefix("tcp://").expect("tcp").to_string();
    (socket, address)
}

/// A running program, killed if the test ends before it does.
pub(crate) struct Program(Child);

impl Program {
    /// Starts the program with pipes for all that it reads and writes.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = zmesh(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().expect("the program starts"))
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("taken once")
    }

    pub(crate) fn stdout(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.stdout.take().expect("taken once")).lines()
    }

    pub(crate) fn stderr(&mut self) -> Lines<BufReader<ChildStderr>> {
        BufReader::new(self.0.stderr.take().expect("taken once")).lines()
    }

    pub(crate) fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Waits for its end: the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.0.wait().expect("it ends").code()
    }

    /// Waits for its end and takes what it wrote.
    pub(crate) fn run(mut self) -> Run {
        drop(self.0.stdin.take());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = self.0.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("UTF-8");
        }
        let mut pipe = self.0.stderr.take().expect("a pipe");
        pipe.read_to_string(&mut stderr).expect("UTF-8");
        Run {
            code: self.0.wait().expect("it ends").code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a subscription.
pub(crate) fn subscription(socket: &zmq::Socket, prefix: &str) {
    let wanted = [b"\x01", prefix.as_bytes()].concat();
    while socket.recv_bytes(0).expect("a subscription") != wanted {}
}
