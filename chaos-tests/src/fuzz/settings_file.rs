//! A configuration file. What it gives, written down and read again, gives the same; what is wrong
//! with it is said in one line that a terminal can show.

/// A message with a line number, a value cut to 80 characters and a remedy.
const LONGEST_MESSAGE: usize = 2000;

/// Takes the bytes of a file.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match zmesh::settings_of(text, "host") {
        Ok(given) => {
            let again = zmesh::settings_of(&given, "host");
            assert_eq!(again.expect("what was written can be read"), given);
        }
        Err(error) => {
            let message = format!("{error:#}");
            let shown = |c: char| !c.is_control();
            assert!(
                !message.is_empty() && message.chars().all(shown),
                "{message:?}"
            );
            assert!(
                message.len() <= LONGEST_MESSAGE,
                "{} bytes: {message}",
                message.len()
            );
        }
    }
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    let all = zmesh::settings_of("", "host").expect("the defaults make sense");
    let texts = [
        all.as_str(),
        "name = \"a\"\nseed = [\"10.0.0.1:5556\", \"[::1]:5556\"]\nport = 0x1234\n",
        "queue-size = \"2MiB\"\nqueue-policy = 'block'\nhandshake-timeout = \"250ms\"\n",
        "port = 65535 # a comment\n",
        "advertise = \"0.0.0.0\"\nbind = \"::\"\n",
        "connection-budget = \"1GiB\"\nnode-budget = 1048576\n",
        "log = \"info,zmesh_node=debug\"\nlog-format = \"JSON\"\nmax-frames = 1_000\n",
        "prot = 1\n",
        "name = 1.5\n",
        "name = [1, [2]]\n[table]\na = 1979-05-27T07:32:00Z\n",
        "zone = \"\"\"a\nb\"\"\"\n",
        "name = \"\\u0007\"\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
