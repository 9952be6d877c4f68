use std::os::unix::fs::PermissionsExt as _;

use super::*;

const SERVER: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QUJD
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
users:
- name: default
  user:
    client-certificate-data: REVG
    client-key-data: R0hJ
";

fn of(environment: &str) -> KeptKubeconfig {
    KeptKubeconfig::of_server(SERVER.as_bytes(), environment, "10.0.0.1").unwrap()
}

fn values(path: &Path) -> Json {
    parse(path, &fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_kept_one_leads_to_the_server_and_is_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    of("lab").keep(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = values(&path);
    assert_eq!(
        kept["clusters"][0]["cluster"]["server"],
        "https://10.0.0.1:6443"
    );
    assert_eq!(kept["users"][0]["user"]["client-key-data"], "R0hJ");
    assert_eq!(kept["current-context"], "lab");
    assert!(KeptKubeconfig::is_from(
        &path,
        &sha256(SERVER.as_bytes()),
        "10.0.0.1"
    ));
    assert!(!KeptKubeconfig::is_from(&path, "other", "10.0.0.1"));
    assert!(!KeptKubeconfig::is_from(
        &path,
        &sha256(SERVER.as_bytes()),
        "10.0.0.2"
    ));
}

#[test]
fn the_client_understands_the_kept_one() {
    let parsed = kube::config::Kubeconfig::from_yaml(&of("lab").text).unwrap();
    assert_eq!(parsed.current_context.as_deref(), Some("lab"));
    assert_eq!(parsed.clusters.len(), 1);
}

#[test]
fn other_entries_stay_as_they_are_and_the_old_file_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let theirs = "clusters:\n- name: work\n  cluster: {server: 'https://x', odd-field: 0777}\nusers:\n- name: work\n  user:\n    exec: {command: aws, args: [eks, 'yes'], installHint: \"a\\nb\"}\ncontexts: []\ncurrent-context: work\npreferences: {colors: true}\n";
    fs::write(&path, theirs).unwrap();
    let before = values(&path);
    assert!(of("lab").merge_into(&path).unwrap());
    let after = values(&path);
    assert_eq!(after["clusters"][0], before["clusters"][0]);
    assert_eq!(after["users"][0], before["users"][0]);
    assert_eq!(after["preferences"], before["preferences"]);
    assert_eq!(after["current-context"], "work");
    assert_eq!(after["users"][1]["name"], "lab");
    assert_eq!(after["contexts"][0]["context"]["cluster"], "lab");
    let kept = fs::read_to_string(folder.path().join("config.before-shopctl")).unwrap();
    assert_eq!(kept, theirs);
    assert!(!of("lab").merge_into(&path).unwrap(), "merged twice");
}

#[test]
fn a_new_authority_replaces_the_old_one_and_removal_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/config");
    assert!(of("lab").merge_into(&path).unwrap());
    assert!(of("other").merge_into(&path).unwrap());
    let renewed = SERVER.replace("QUJD", "TkVX");
    let renewed = KeptKubeconfig::of_server(renewed.as_bytes(), "lab", "10.0.0.1").unwrap();
    assert!(renewed.merge_into(&path).unwrap());
    let after = values(&path);
    assert_eq!(after["clusters"].as_array().unwrap().len(), 2);
    assert_eq!(
        after["clusters"][0]["cluster"]["certificate-authority-data"],
        "TkVX"
    );
    assert!(unmerge(&path, "lab").unwrap());
    let after = values(&path);
    assert_eq!(after["clusters"][0]["name"], "other");
    assert_eq!(after["users"].as_array().unwrap().len(), 1);
    assert_eq!(after["current-context"], "");
    assert!(!unmerge(&path, "lab").unwrap());
}

#[test]
fn an_entry_of_somebody_else_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let theirs = "users:\n- name: lab\n  user: {token: secret}\n";
    fs::write(&path, theirs).unwrap();
    let error = of("lab").merge_into(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("entry `lab` that shopctl did not make"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
    assert!(!unmerge(&path, "lab").unwrap());
    assert!(!folder.path().join("config.lock").exists());
}

#[test]
fn what_cannot_be_understood_or_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    fs::write(&path, "clusters: &a []\nusers: *a\n").unwrap();
    assert!(of("lab").merge_into(&path).is_err());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "clusters: &a []\nusers: *a\n"
    );
    fs::write(&path, "").unwrap();
    fs::write(folder.path().join("config.lock"), "").unwrap();
    let error = of("lab").merge_into(&path).unwrap_err();
    assert!(
        error.to_string().contains("somebody else changes it"),
        "{error}"
    );
    assert!(
        folder.path().join("config.lock").exists(),
        "another's lock was taken away"
    );
}

#[test]
fn the_users_file_is_the_first_that_the_variable_names() {
    let home = Path::new("/home/me");
    let found = |variable| user_kubeconfig(variable, Some(home)).unwrap();
    assert_eq!(found(Some(":/a:/b")), Path::new("/a"));
    assert_eq!(found(Some("")), Path::new("/home/me/.kube/config"));
    assert_eq!(found(None), Path::new("/home/me/.kube/config"));
}
