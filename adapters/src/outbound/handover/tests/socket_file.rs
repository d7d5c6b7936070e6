//! The file of the socket at which a process is asked to hand over.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixListener,
    },
};

use rustix::{
    process::{Uid, geteuid},
    thread::set_thread_uid,
};

use super::*;

fn error(path: &std::path::Path, replace: bool) -> std::io::Error {
    TakeOverListener::bind(path, replace).err().expect("an error")
}

async fn reaches(path: &std::path::Path, listener: &TakeOverListener) -> bool {
    let asked = tokio::spawn({
        let path = path.to_owned();
        async move { Predecessor::ask(&path, "2.0").await.err().expect("refused").to_string() }
    });
    listener.accept().await.refuse("a test").await;
    asked.await.expect("no panic") == "the running process does not hand over: a test"
}

#[tokio::test(start_paused = true)]
async fn socket_is_for_this_user_only() {
    let (directory, path) = place();
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    let metadata = fs::metadata(&path).expect("a file");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "no other file is left");
    assert!(reaches(&path, &listener).await);
}

/// A killed process leaves its socket.
#[tokio::test(start_paused = true)]
async fn stale_socket_is_replaced() {
    let (_directory, path) = place();
    drop(UnixListener::bind(&path).expect("bound"));
    assert!(Predecessor::ask(&path, "2.0").await.expect("no process").is_none());
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    assert!(reaches(&path, &listener).await);
}

/// A process that was killed while it created its socket leaves the temporary one. Another process may have the same id.
#[tokio::test(start_paused = true)]
async fn stale_temporary_socket_is_replaced() {
    let (_directory, path) = place();
    drop(UnixListener::bind(path.with_added_extension(std::process::id().to_string())).expect("bound"));
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    assert!(reaches(&path, &listener).await);
}

#[tokio::test(start_paused = true)]
async fn socket_of_another_process_is_replaced_on_request_only() {
    let (_directory, path) = place();
    let first = TakeOverListener::bind(&path, false).expect("bound");
    assert_eq!(error(&path, false).kind(), ErrorKind::AddrInUse);
    drop(TakeOverListener::bind(&path, true).expect("replaced"));
    assert!(Predecessor::ask(&path, "2.0").await.expect("no process").is_none());
    let second = TakeOverListener::bind(&path, true).expect("replaced");
    assert!(reaches(&path, &second).await);
    drop(first);
    assert!(path.exists(), "the socket of the other process stays");
}

#[tokio::test(start_paused = true)]
async fn unusable_path_says_why() {
    let (directory, path) = place();
    assert!(Predecessor::ask(&path, "2.0").await.expect("no process").is_none());
    let missing = directory.path().join("missing").join("socket");
    assert_eq!(error(&missing, true).kind(), ErrorKind::NotFound);
    assert!(Predecessor::ask(&missing, "2.0").await.expect("no process").is_none());
    let is_directory = directory.path().join("directory");
    fs::create_dir(&is_directory).expect("created");
    error(&is_directory, true);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "no temporary file is left");
}

#[tokio::test(start_paused = true)]
async fn path_has_a_maximum_length() {
    let (directory, _) = place();
    let with_bytes = |bytes: usize| {
        let name = "s".repeat(bytes - directory.path().as_os_str().len() - 1);
        directory.path().join(name)
    };
    let listener = TakeOverListener::bind(&with_bytes(99), false).expect("bound");
    assert!(reaches(&with_bytes(99), &listener).await);
    let error = error(&with_bytes(100), false);
    assert_eq!(error.to_string(), "the path of the socket has 100 bytes; use a path of at most 99 bytes");
}

/// Even if the permissions of the socket were changed. Only root can act as another user, so the test checks nothing for others.
#[tokio::test(start_paused = true)]
async fn process_of_another_user_is_rejected() {
    if !geteuid().is_root() {
        return;
    }
    let (directory, path) = place();
    let listener = TakeOverListener::bind(&path, false).expect("bound");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let connect = || {
        let path = path.clone();
        std::thread::spawn(move || {
            // Of this thread alone.
            set_thread_uid(Uid::from_raw(65_534)).expect("set");
            std::os::unix::net::UnixStream::connect(path)
        })
        .join()
        .expect("no panic")
    };
    assert_eq!(connect().err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("set");
    let stranger = connect().expect("connected");
    let mut request = &stranger;
    let text = format!(r#"{{"Request":{{"format":{FORMAT},"version":"2.0"}}}}"#);
    let lengths = [u32::try_from(text.len()).expect("short"), 0, 0];
    let frame: Vec<u8> = lengths.into_iter().flat_map(u32::to_be_bytes).chain(text.into_bytes()).collect();
    request.write_all(&frame).expect("sent");
    assert!(reaches(&path, &listener).await, "the next request is that of this user");
    let mut answer = Vec::new();
    request.read_to_end(&mut answer).ok();
    assert!(answer.is_empty(), "no offer");
}
