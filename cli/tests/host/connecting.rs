//! Who is let in, and who is believed.

use std::fs;

use shopctl::host::{Command, Host, HostError, HostSpec};

use crate::sshd::Sshd;

fn uptime() -> Command {
    Command::new("look", ["true"])
}

#[tokio::test]
async fn a_new_host_is_believed_once_and_a_changed_key_stops_everything() {
    let Some(mut sshd) = Sshd::start() else {
        return;
    };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    host.run(uptime()).await.unwrap();
    drop(host);
    let known = fs::read_to_string(sshd.ssh_folder().known_hosts()).unwrap();
    assert!(
        known.starts_with(&format!("[127.0.0.1]:{} ssh-ed25519 ", sshd.port)),
        "{known}"
    );
    let before = sshd.fingerprint("host");

    sshd.stop();
    sshd.make_key("host");
    sshd.run();
    let error = sshd.connect(sshd.spec()).await.unwrap_err();
    let HostError::KeyChanged(changed) = &error else {
        panic!("{error}")
    };
    assert_eq!(changed.known, [before]);
    assert_eq!(
        changed.shown.as_deref(),
        Some(sshd.fingerprint("host").as_str())
    );
    assert!(
        error.to_string().contains("nothing was sent to it"),
        "{error}"
    );
    let hints = error.hints().join("\n");
    assert!(
        hints.contains(&format!("ssh-keygen -R '[127.0.0.1]:{}'", sshd.port)),
        "{hints}"
    );

    // What the hint says helps.
    let removed = std::process::Command::new("ssh-keygen")
        .args(["-R", &format!("[127.0.0.1]:{}", sshd.port), "-f"])
        .arg(sshd.ssh_folder().known_hosts())
        .output()
        .unwrap();
    assert!(removed.status.success());
    sshd.connect(sshd.spec()).await.unwrap();
}

#[tokio::test]
async fn only_a_pinned_key_is_believed() {
    let Some(mut sshd) = Sshd::start() else {
        return;
    };
    let pinned = |pin: String| HostSpec {
        fingerprints: vec![pin],
        ..sshd.spec()
    };
    let right = pinned(sshd.fingerprint("host"));
    let wrong = pinned(sshd.fingerprint("user"));
    let error = sshd.connect(wrong.clone()).await.unwrap_err();
    assert!(matches!(error, HostError::KeyNotPinned { .. }), "{error}");
    assert!(
        error.to_string().contains(&sshd.fingerprint("host")),
        "{error}"
    );
    let known = fs::read_to_string(sshd.ssh_folder().known_hosts()).unwrap_or_default();
    assert_eq!(known, "", "a key that is not pinned was kept");
    sshd.connect(right.clone()).await.unwrap();
    // Neither was it believed because it was believed before.
    assert!(sshd.connect(wrong).await.is_err());
    sshd.connect(right.clone()).await.unwrap();
    sshd.stop();
    sshd.make_key("host");
    sshd.run();
    let error = sshd.connect(right).await.unwrap_err();
    assert!(matches!(error, HostError::KeyChanged(_)), "{error}");
}

#[tokio::test]
async fn a_wrong_user_and_an_unreachable_host_are_told_apart() {
    let Some(mut sshd) = Sshd::start() else {
        return;
    };
    let nobody = HostSpec {
        user: Some("no-such-user".to_owned()),
        ..sshd.spec()
    };
    let error = sshd.connect(nobody).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("failed to log in to server-1 as no-such-user"),
        "{error}"
    );
    sshd.stop();
    let error = sshd.connect(sshd.spec()).await.unwrap_err();
    assert!(matches!(error, HostError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    let unknown = HostSpec {
        address: "no-such-host.invalid".to_owned(),
        ..sshd.spec()
    };
    let error = sshd.connect(unknown).await.unwrap_err();
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[tokio::test]
async fn aliases_users_and_ports_of_ssh_config_are_used() {
    let Some(sshd) = Sshd::start() else { return };
    let config = format!(
        "Host shop\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n",
        sshd.port,
        sshd.path("user").display()
    );
    fs::write(sshd.path("ssh_config"), config).unwrap();
    let spec = HostSpec {
        name: "server-1".to_owned(),
        address: "shop".to_owned(),
        config_file: Some(sshd.path("ssh_config")),
        ..HostSpec::default()
    };
    let host = sshd.connect(spec).await.unwrap();
    host.run(uptime()).await.unwrap();
    assert_eq!(host.address(), "127.0.0.1");
}

#[tokio::test]
async fn a_jump_host_of_ssh_config_is_gone_through() {
    let Some(sshd) = Sshd::start() else { return };
    let jump_known = sshd.path("jump_known");
    let both = format!(
        "  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n",
        sshd.port,
        sshd.path("user").display()
    );
    let config = format!(
        "Host jump\n{both}  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {}\nHost shop\n{both}  ProxyJump jump\n",
        jump_known.display()
    );
    fs::write(sshd.path("ssh_config"), config).unwrap();
    let spec = HostSpec {
        name: "server-1".to_owned(),
        address: "shop".to_owned(),
        config_file: Some(sshd.path("ssh_config")),
        ..HostSpec::default()
    };
    let host = sshd.connect(spec).await.unwrap();
    assert!(host.run(uptime()).await.unwrap().is_success());
    assert!(jump_known.exists(), "nobody went through the jump host");
}

#[tokio::test]
async fn a_login_shell_that_is_none_is_named() {
    let Some(sshd) = Sshd::start() else { return };
    // Whoever logs in gets this instead of a shell that understands quotes.
    let keys = fs::read_to_string(sshd.path("authorized_keys")).unwrap();
    let forced = format!("command=\"echo shopctl-ready its; echo shopctl-ready root\" {keys}");
    fs::write(sshd.path("authorized_keys"), forced).unwrap();
    let error = sshd.connect(sshd.spec()).await.unwrap_err();
    assert!(matches!(error, HostError::Shell { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_again_for_the_next_command() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    let slow = host.run(Command::new("wait for a bus", ["sleep", "600"]));
    let cut = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        assert!(sshd.cut() > 0);
    };
    let (outcome, ()) = tokio::join!(slow, cut);
    let error = outcome.unwrap_err();
    assert!(error.is_lost(), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("failed to wait for a bus on server-1: the connection was cut"),
        "{error}"
    );
    assert!(host.run(uptime()).await.unwrap().is_success());
}

#[tokio::test]
async fn the_connection_ends_with_its_owner() {
    let Some(sshd) = Sshd::start() else { return };
    let host = sshd.connect(sshd.spec()).await.unwrap();
    assert_eq!(std::fs::read_dir(sshd.path("run/ssh")).unwrap().count(), 1);
    drop(host);
    assert_eq!(std::fs::read_dir(sshd.path("run/ssh")).unwrap().count(), 0);
}
