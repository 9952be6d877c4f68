//! What a schema cannot say about where a shop runs: hosts, the cluster, and the way in.

use std::collections::BTreeMap;

use super::cluster::OWN_SETTINGS;
use super::file::Complete;
use super::ingress::{IngressTls, TlsKind};
use super::{Connection, Host, HostRole, Target};
use crate::catalogue::{Catalogue, Place};
use crate::document::{Document, Node, Problem, Span, Step};
use crate::value::HostName;

/// Everything that is wrong with where an environment is to run.
pub(super) fn misplaced(
    document: &Document,
    complete: &Complete,
    catalogue: &Catalogue,
) -> Vec<Problem> {
    let mut check = Check {
        document,
        problems: Vec::new(),
    };
    check.tls(&complete.ingress.tls);
    match complete.target {
        Target::Local => {
            check.only_on_k3s();
            check.elsewhere(catalogue, Place::Local);
        }
        Target::K3s => {
            check.servers(complete);
            check.addresses(&complete.hosts);
            for (name, host) in &complete.hosts {
                check.host(name, host, complete.hosts.len());
            }
            check.cluster(complete);
            check.elsewhere(catalogue, Place::K3s);
        }
    }
    check.problems
}

struct Check<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn place(&self, way: &[Step<'_>]) -> Option<Span> {
        self.document.root.place(way)
    }

    fn report(&mut self, span: Option<Span>, message: String, fix: impl Into<String>) {
        self.problems.push(
            Problem {
                span,
                ..Problem::whole(message)
            }
            .fix(fix),
        );
    }

    /// What says something about a cluster says nothing about this machine.
    fn only_on_k3s(&mut self) {
        let ways: [&[&str]; 4] = [
            &["hosts"],
            &["k3s"],
            &["registry"],
            &["ingress", "nodePort"],
        ];
        for way in ways {
            let steps: Vec<Step<'_>> = way.iter().copied().map(Step::from).collect();
            if let Some(span) = self.place(&steps) {
                let message = format!("`{}` says nothing with `target: local`", way.join("."));
                self.report(Some(span), message, "remove it, or write `target: k3s`");
            }
        }
        let services = self.document.root.find(&["services".into()]);
        let scaled: Vec<(String, Span)> = services
            .into_iter()
            .flat_map(Node::entries)
            .filter_map(|service| {
                let entry = service.value.entry("autoscaling")?;
                Some((service.key.clone(), entry.key_span))
            })
            .collect();
        for (service, span) in scaled {
            let message = format!(
                "`{service}` cannot grow by itself with `target: local`: the number of its instances is fixed"
            );
            self.report(
                Some(span),
                message,
                "remove `autoscaling` and set `replicas`, or write `target: k3s`",
            );
        }
    }

    /// Components that do not run where the file says.
    fn elsewhere(&mut self, catalogue: &Catalogue, place: Place) {
        for component in catalogue.runnable().filter(|it| !it.runs_on(place)) {
            let name = component.name.as_str();
            for section in ["components", "services"] {
                if let Some(span) = self.place(&[section.into(), name.into()]) {
                    let (here, there) = match place {
                        Place::Local => ("local", "k3s"),
                        Place::K3s => ("k3s", "local"),
                    };
                    let message = format!("there is no `{name}` with `target: {here}`");
                    let fix = format!("remove it, or write `target: {there}`");
                    self.report(Some(span), message, fix);
                }
            }
        }
    }

    fn servers(&mut self, complete: &Complete) {
        let hosts = &complete.hosts;
        let servers = hosts
            .values()
            .filter(|host| host.role == HostRole::Server)
            .count();
        let span = self.place(&["hosts".into()]);
        let written = self.document.root.find(&["hosts".into()]);
        let all_are_wrong = written.is_some_and(|node| !node.entries().is_empty());
        if hosts.is_empty() && !all_are_wrong {
            let span = span.or_else(|| self.place(&["target".into()]));
            self.report(
                span,
                "with `target: k3s` the shop needs hosts, and there are none".to_owned(),
                "add `hosts:` with a name and an address for each: `node-1: { address: 192.0.2.10 }`",
            );
        } else if servers == 0 && !hosts.is_empty() {
            self.report(
                span,
                "no host has the role `server`, and agents alone are no cluster".to_owned(),
                "make one of them `role: server`",
            );
        } else if servers > 0 && servers % 2 == 0 {
            let message = format!(
                "{servers} servers survive no more than {} would: they go on only while more than half of them live",
                servers - 1
            );
            self.report(
                span,
                message,
                "make one of them `role: agent`, or add a server",
            );
        }
    }

    /// No two hosts are one machine.
    fn addresses(&mut self, hosts: &BTreeMap<HostName, Host>) {
        let mut seen: BTreeMap<(&str, Option<u16>), &HostName> = BTreeMap::new();
        let mut here: Option<&HostName> = None;
        for (name, host) in hosts {
            let first = match (&host.connection, &host.address) {
                (Connection::Local, _) => here.replace(name),
                (Connection::Ssh, Some(address)) => seen.insert((address, host.port), name),
                (Connection::Ssh, None) => None,
            };
            let Some(first) = first else {
                continue;
            };
            let span = self.place(&["hosts".into(), name.as_str().into()]);
            let message = format!("the hosts `{first}` and `{name}` are the same machine");
            let mut problem = Problem {
                span,
                ..Problem::whole(message)
            }
            .fix("give each an address of its own, or remove one");
            if let Some(other) = self.place(&["hosts".into(), first.as_str().into()]) {
                problem = problem.related(other, "the first one");
            }
            self.problems.push(problem);
        }
    }

    fn host(&mut self, name: &HostName, host: &Host, of: usize) {
        let at = |field: &'static str| -> [Step<'_>; 3] {
            ["hosts".into(), name.as_str().into(), field.into()]
        };
        let span = self.place(&["hosts".into(), name.as_str().into()]);
        if host.connection == Connection::Ssh {
            if host.address.is_none() && self.place(&at("address")).is_none() {
                self.report(
                    span,
                    format!("the host `{name}` has no address"),
                    "add `address:`, or write `connection: local` if it is this machine",
                );
            }
            return;
        }
        for field in ["port", "user", "fingerprints", "identity"] {
            if let Some(span) = self.place(&at(field)) {
                let message =
                    format!("`{field}` is for ssh, and the host `{name}` is this machine");
                self.report(Some(span), message, "remove it, or `connection: local`");
            }
        }
        let reachable = [&host.node_address, &host.address]
            .into_iter()
            .flatten()
            .next();
        let is_loopback = |address: &String| {
            address == "localhost" || address.starts_with("127.") || address == "::1"
        };
        if of > 1 && reachable.is_some_and(is_loopback) {
            let span = self
                .place(&at("nodeAddress"))
                .or_else(|| self.place(&at("address")));
            self.report(
                span,
                format!("the other hosts cannot reach `{name}` at its loopback address"),
                "write an address of this machine that they reach",
            );
        }
    }

    fn tls(&mut self, tls: &IngressTls) {
        let fields = [
            ("certificate", tls.certificate.is_some(), TlsKind::Files),
            ("key", tls.key.is_some(), TlsKind::Files),
            ("secret", tls.secret.is_some(), TlsKind::Secret),
        ];
        for (field, is_set, kind) in fields {
            let word = if kind == TlsKind::Files {
                "files"
            } else {
                "secret"
            };
            let at = |field: &'static str| -> [Step<'_>; 3] {
                ["ingress".into(), "tls".into(), field.into()]
            };
            if is_set && tls.kind != kind {
                let span = self.place(&at(field));
                let message = format!("`ingress.tls.{field}` is only read with `kind: {word}`");
                self.report(span, message, format!("remove it, or write `kind: {word}`"));
            } else if !is_set && tls.kind == kind {
                let span = self.place(&at("kind"));
                let message =
                    format!("with `kind: {word}`, `ingress.tls` lacks the field `{field}`");
                self.report(span, message, format!("add `{field}: …`"));
            }
        }
    }

    fn cluster(&mut self, complete: &Complete) {
        let Some(k3s) = &complete.k3s else {
            return;
        };
        for key in k3s.config.keys() {
            if OWN_SETTINGS.contains(&key.as_str()) {
                let span = self.place(&["k3s".into(), "config".into(), key.as_str().into()]);
                let message = format!("`k3s.config.{key}` is shopctl's own to decide");
                self.report(span, message, "remove it; `hosts:` says what each host is");
            }
        }
        let loss = &k3s.node_loss;
        if loss.grace.milliseconds() < 3 * loss.status_interval.milliseconds() {
            let at = |field: &'static str| -> [Step<'_>; 3] {
                ["k3s".into(), "nodeLoss".into(), field.into()]
            };
            let span = self
                .place(&at("grace"))
                .or_else(|| self.place(&at("statusInterval")));
            let message = format!(
                "a host that reports every {} would count as gone after {}, though it may only be late",
                loss.status_interval, loss.grace
            );
            self.report(
                span,
                message,
                "let `grace` be at least three times `statusInterval`",
            );
        }
        let scaled = complete.services.iter().filter_map(|(name, settings)| {
            let most = settings.autoscaling?.maximum_replicas;
            (most < settings.replicas).then_some((name, settings.replicas, most))
        });
        for (name, least, most) in scaled {
            let span = self.place(&[
                "services".into(),
                name.as_str().into(),
                "autoscaling".into(),
                "maximumReplicas".into(),
            ]);
            let message =
                format!("`{name}` has {least} `replicas` at least, but only {most} at most");
            self.report(
                span,
                message,
                "raise `maximumReplicas`, or lower `replicas`",
            );
        }
        if let Some(registry) = &complete.registry
            && registry.user.is_some() != registry.password_file.is_some()
        {
            let (has, lacks) = if registry.user.is_some() {
                ("user", "passwordFile")
            } else {
                ("passwordFile", "user")
            };
            let span = self.place(&["registry".into(), has.into()]);
            let message = format!("`registry` has a `{has}`, but no `{lacks}`");
            self.report(
                span,
                message,
                format!("add `{lacks}: …`, or remove `{has}`"),
            );
        }
    }
}
