//! The access token that `--token -` reads.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    process::Stdio,
};

use rustix::{
    pty::{OpenptFlags, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::DEADLINE;

/// Starts the diagnosis with this standard input. Without a configuration it ends with 1 after it has read a token, and with 2 without a token.
fn doctor(input: impl Into<Stdio>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocis-sse"));
    command
        .args(["doctor", "--url", "https://cloud.example.org", "--token", "-"])
        .env_clear()
        .env("OCIS_CONFIG_DIR", "/nowhere")
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn typed_token_is_not_shown() {
    for (typed, status) in [("a.secret.token", 1), ("a secret", 2)] {
        let mut user = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
        unlockpt(&user).expect("unlocked");
        let path = ptsname(&user, Vec::new()).expect("a path").into_string().expect("Unicode");
        let terminal = OpenOptions::new().read(true).write(true).open(path).expect("opened");
        let before = tcgetattr(&terminal).expect("a state").local_modes;
        assert!(before.contains(LocalModes::ECHO));
        let mut program = doctor(terminal.try_clone().expect("another descriptor")).spawn().expect("it runs");
        let mut errors = BufReader::new(program.stderr.take().expect("piped")).lines();
        let prompt = errors.next_line().await.expect("readable").expect("a prompt");
        assert!(prompt.contains("type or paste the access token"), "{prompt}");
        writeln!(user, "{typed}").expect("typed");
        let ended = tokio::time::timeout(DEADLINE, program.wait()).await.expect("an end in time");
        assert_eq!(ended.expect("an end").code(), Some(status), "{typed}");
        assert_eq!(tcgetattr(&terminal).expect("a state").local_modes, before, "as before");
        drop(terminal);
        // A terminal that nobody has open any more ends with an error.
        let mut shown = Vec::new();
        user.read_to_end(&mut shown).expect_err("an end");
        assert_eq!(String::from_utf8_lossy(&shown), "\r\n");
    }
}

#[tokio::test]
async fn piped_token_is_read() {
    let (input, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"Bearer a.secret.token\nanother line\n").expect("written");
    let output = tokio::time::timeout(DEADLINE, doctor(input).output()).await.expect("in time");
    let output = output.expect("it runs");
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()));
}
