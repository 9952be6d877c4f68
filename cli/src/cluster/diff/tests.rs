use serde_json::json;

use super::*;

fn paths(before: &Value, after: &Value) -> Vec<String> {
    changes(before, after, &Mask::default())
        .into_iter()
        .map(|change| change.path)
        .collect()
}

fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "order", "resourceVersion": image.len().to_string(), "generation": replicas,
            "managedFields": [{"manager": image}]},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [
            {"name": "side", "image": "side:1"},
            {"name": "order", "image": image, "env": [{"name": "A", "value": "1"}]}]}}},
        "status": {"replicas": replicas},
    })
}

#[test]
fn fields_are_named_by_what_their_items_are_known_by() {
    assert_eq!(
        paths(&deployment("shopd:1", 2), &deployment("shopd:23", 3)),
        [
            "spec.replicas",
            "spec.template.spec.containers[order].image"
        ]
    );
}

#[test]
fn what_the_cluster_keeps_for_itself_is_no_difference() {
    let mut touched = deployment("shopd:1", 2);
    touched["status"] = json!({"readyReplicas": 0});
    touched["metadata"]["resourceVersion"] = json!("99");
    touched["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "4"});
    touched["spec"]["selector"] = json!({});
    assert_eq!(paths(&deployment("shopd:1", 2), &touched), [""; 0]);
}

#[test]
fn a_claims_template_that_the_server_completes_is_no_difference() {
    let set = |template: Value| json!({"kind": "StatefulSet", "metadata": {"name": "a"}, "spec": {"volumeClaimTemplates": [template]}});
    let ours =
        set(json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}));
    let theirs = set(
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"},
        "metadata": {"name": "data", "creationTimestamp": null}, "spec": {"accessModes": ["ReadWriteOnce"]}}),
    );
    assert_eq!(paths(&theirs, &ours), [""; 0]);
    let larger =
        set(json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteMany"]}}));
    assert_eq!(
        paths(&theirs, &larger),
        ["spec.volumeClaimTemplates[data].spec.accessModes"]
    );
}

#[test]
fn another_order_of_the_same_items_is_a_difference() {
    let list =
        |names: [&str; 2]| json!({"spec": {"containers": names.map(|name| json!({"name": name}))}});
    assert_eq!(
        paths(&list(["a", "b"]), &list(["b", "a"])),
        ["spec.containers"]
    );
}

#[test]
fn a_text_of_several_lines_is_compared_line_by_line() {
    let map = |text: &str| json!({"kind": "ConfigMap", "data": {"redis.conf": text}});
    let found = changes(
        &map("a 1\nb 2\nc 3\nd 4\ne 5\n"),
        &map("a 1\nb 2\nc 9\nd 4\ne 5\n"),
        &Mask::default(),
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "data[redis.conf]");
    assert_eq!(found[0].lines, [" b 2", "-c 3", "+c 9", " d 4"]);
}

#[test]
fn what_a_secret_holds_is_never_shown() {
    let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "common", "labels": {"a": value}}, "data": {"password": value}});
    let found = changes(
        &secret("b2xkLW9uZQ=="),
        &secret("bmV3LW9uZQ=="),
        &Mask::default(),
    );
    let shown = serde_json::to_string(&found[0]).unwrap();
    assert_eq!(found[0].path, "data.password");
    assert!(
        !shown.contains("b2xk") && !shown.contains("bmV3"),
        "{shown}"
    );
    assert_eq!(found[0].before, Some(json!(HIDDEN)));
    // What is no data of it is shown.
    assert_eq!(found[1].after, Some(json!("bmV3LW9uZQ==")));
}

#[test]
fn a_known_secret_is_hidden_wherever_it_stands_and_in_base64() {
    let mask = Mask::of(["correct-horse", "correct-horse-battery"]);
    let map = |text: &str| json!({"kind": "ConfigMap", "data": {"file": text, "one": [text]}});
    let found = changes(
        &map("requirepass correct-horse-battery\nport 1\n"),
        &map("masterauth Y29ycmVjdC1ob3JzZQ==\nport 1\n"),
        &mask,
    );
    let shown = serde_json::to_string(&found).unwrap();
    assert!(
        !shown.contains("correct") && !shown.contains("battery"),
        "{shown}"
    );
    assert!(!shown.contains("Y29ycmVjdC1ob3JzZQ"), "{shown}");
    assert!(shown.contains("requirepass (hidden)"), "{shown}");
    assert!(!format!("{mask:?}").contains("horse"));
}

#[test]
fn nothing_and_an_empty_list_are_the_same() {
    let before = json!({"spec": {"a": null, "b": [], "c": {}}});
    assert_eq!(paths(&before, &json!({"spec": {}})), [""; 0]);
}
