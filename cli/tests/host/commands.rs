//! Commands, small files, and becoming root.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use shopctl::host::{
    Command, Exit, GivenPassword, Host, HostError, Input, Mode, Password, read_file, write_file,
};

use crate::skipped::say_skipped;
use crate::sshd::{Account, Sshd};

#[tokio::test]
async fn hostile_arguments_and_input_arrive_as_they_were() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let hostile = [
        "",
        " ",
        "it's",
        "$(touch /tmp/x)",
        "`id`",
        "$HOME",
        "a\nb",
        "\\",
        "!!",
        "*",
        "~",
        "-n",
        "--",
        ";",
        "&& true",
        "|",
        "ü€",
        "\t",
        "\"",
        "a'b\"c",
    ];
    let script = r#"for argument; do printf '%s\0' "$argument"; done; cat"#;
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let command = Command::script("echo", script, hostile).input(Input::Bytes(input.clone()));
    let output = host.run(command).await.unwrap();
    assert_eq!(output.exit, Exit::Code(0));
    let mut expected = hostile.join("\0").into_bytes();
    expected.push(0);
    expected.extend(input);
    assert_eq!(output.stdout, expected);
    let output = host
        .run(Command::new("fail", ["sh", "-c", "echo no >&2; exit 255"]))
        .await
        .unwrap();
    assert_eq!(
        (output.exit, output.stderr.as_slice()),
        (Exit::Code(255), &b"no\n"[..])
    );
}

#[tokio::test]
async fn many_commands_at_once_share_one_connection() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let script = "readlink /proc/$PPID/exe; echo $SSH_CONNECTION";
    let commands = (0..30).map(|_| host.run(Command::script("look", script, [] as [&str; 0])));
    let mut seen = std::collections::BTreeSet::new();
    for output in futures_util::future::join_all(commands).await {
        seen.insert(output.unwrap().text());
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_command_that_takes_too_long_says_what_it_was_and_what_it_wrote() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let command = Command::script("pack boxes", "echo box 7; sleep 600", [] as [&str; 0])
        .deadline(Duration::from_secs(1));
    let error = host.run(command).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "failed to pack boxes on server-1 within 1 s (box 7)"
    );
}

#[tokio::test]
async fn a_small_file_is_written_whole_with_its_mode_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let path = sshd.path("new folder/it's a token");
    let text = path.to_str().unwrap();
    assert_eq!(read_file(&host, text).await.unwrap(), None);
    write_file(&host, text, b"K10\n\0secret", Mode::Private)
        .await
        .unwrap();
    assert_eq!(
        read_file(&host, text).await.unwrap().unwrap(),
        b"K10\n\0secret"
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = fs::read_to_string(sshd.path("sshd.log")).unwrap();
    assert!(!log.contains("secret"), "{log}");
    // A folder in its place cannot be replaced by a file, and nothing is left beside it.
    let error = write_file(
        &host,
        sshd.path("run").to_str().unwrap(),
        b"x",
        Mode::Public,
    )
    .await
    .err();
    let left: Vec<_> = fs::read_dir(sshd.folder.path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.contains(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?} after {error:?}");
}

#[tokio::test]
async fn root_is_had_with_sudo_and_with_a_password_and_said_when_not() {
    let Some(sshd) = Sshd::start() else { return };
    if !Path::new("/usr/bin/sudo").exists() {
        return say_skipped("sudo is missing: `apt-get install sudo`");
    }
    let account = Account::make();
    let spec = shopctl::host::HostSpec {
        user: Some(account.name.clone()),
        ..sshd.spec()
    };
    // sshd reads the list of keys as the user.
    fs::set_permissions(
        sshd.folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let whoami = || {
        Command::new("say who it is", ["sh", "-c", "id -u; cat"])
            .input(Input::Bytes(b"the rest".to_vec()))
            .as_root()
    };

    let host = sshd.connect(spec.clone()).await.unwrap();
    let error = host.run(whoami()).await.unwrap_err();
    assert!(matches!(error, HostError::NoRoot { .. }), "{error}");
    assert!(
        error.to_string().contains("become root on server-1"),
        "{error}"
    );
    let user = host
        .run(Command::new("say who it is", ["id", "-un"]))
        .await
        .unwrap();
    assert_eq!(user.text().trim(), account.name);

    account.sudoers("NOPASSWD: ALL");
    let host = sshd.connect(spec.clone()).await.unwrap();
    assert_eq!(host.run(whoami()).await.unwrap().text(), "0\nthe rest");

    account.sudoers("ALL");
    let host = sshd
        .connect_with(spec.clone(), &GivenPassword(Password::new("right\n")))
        .await
        .unwrap();
    // The second time sudo may remember the password and not ask; it must not reach the command then.
    for _ in 0..2 {
        assert_eq!(host.run(whoami()).await.unwrap().text(), "0\nthe rest");
    }
    let host = sshd.connect(spec.clone()).await.unwrap();
    let error = host.run(whoami()).await.unwrap_err();
    assert!(
        error.hints()[0].contains("SHOPCTL_SUDO_PASSWORD"),
        "{error}"
    );
    let begin = Instant::now();
    let error = sshd
        .connect_with(spec, &GivenPassword(Password::new("wrong")))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("sudo does not take the password"),
        "{error}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
}
