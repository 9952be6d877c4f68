//! Every instance of every enabled component, filled in.

use std::collections::BTreeMap;

use super::context::{
    self, ComponentContext, Context, EnvironmentContext, InstanceContext, POD_CONFIG, PeerContext,
    PeersContext, SecretContext, ShopContext, StateContext,
};
use super::engine::Engine;
use super::output::{
    RenderedFile, RenderedInstance, RenderedProbe, RenderedTask, fingerprint_of_secrets,
};
use super::{NAMESPACE, RenderError, Secret, SecretSet};
use crate::catalogue::{
    Catalogue, Component, ComponentKind, FileMode, FileSpec, Place, PodFiles, ProbeSpec,
};
use crate::environment::{ComponentSettings, Environment, Target};
use crate::value::ComponentName;

/// What rendering starts from.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// What is wanted.
    pub environment: &'a Environment,
    /// What each component is, and its templates.
    pub catalogue: &'a Catalogue,
    /// Where it all lives.
    pub place: &'a context::Place,
    /// The secrets' values and files.
    pub secrets: &'a SecretSet,
    /// The version of the shop's own programs, and the commit that they were built from.
    pub version: (&'a str, &'a str),
}

/// Renders all instances, or says everything that is wrong with their templates.
pub fn render(input: &RenderInput<'_>) -> Result<Vec<RenderedInstance>, Vec<RenderError>> {
    let renderer = Renderer::new(input);
    let mut instances = Vec::new();
    let mut errors = Vec::new();
    for (name, settings) in input.environment.enabled() {
        let Some(component) = input.catalogue.get(name.as_str()) else {
            continue;
        };
        for ordinal in 0..file_sets(input, component, settings.replicas) {
            match renderer.instance(component, settings, ordinal) {
                Ok(instance) => instances.push(instance),
                // The other instances have the same templates and the same mistakes.
                Err(mut wrong) => {
                    errors.append(&mut wrong);
                    break;
                }
            }
        }
    }
    if errors.is_empty() {
        Ok(instances)
    } else {
        Err(errors)
    }
}

/// Fills in templates for one input.
pub(super) struct Renderer<'a> {
    pub(super) input: &'a RenderInput<'a>,
    pub(super) engine: Engine<'a>,
    pub(super) peers: BTreeMap<String, PeersContext>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(input: &'a RenderInput<'a>) -> Self {
        Self {
            input,
            engine: Engine::new(input.catalogue.templates()),
            peers: peers(input),
        }
    }

    pub(super) fn instance(
        &self,
        component: &Component,
        settings: &ComponentSettings,
        ordinal: u32,
    ) -> Result<RenderedInstance, Vec<RenderError>> {
        let name = instance_name(&component.name, ordinal);
        let public = self.context(component, settings, ordinal, false);
        let private = self.context(component, settings, ordinal, true);
        let mut errors = Vec::new();
        let files = self.files(
            component,
            &name,
            &component.files,
            &public,
            &private,
            &mut errors,
        );
        let argv = self.texts(component, "run", &component.run, &public, &mut errors);
        let values: Vec<String> = component.environment.values().cloned().collect();
        let values = self.texts(component, "environment", &values, &public, &mut errors);
        let tasks = if ordinal == 0 {
            component.tasks.as_slice()
        } else {
            &[]
        };
        let tasks = tasks
            .iter()
            .map(|task| {
                let argv = self.texts(component, &task.name, &task.run, &public, &mut errors);
                let files = self.files(
                    component,
                    &name,
                    &task.files,
                    &public,
                    &private,
                    &mut errors,
                );
                RenderedTask {
                    name: task.name.clone(),
                    about: task.about.clone(),
                    secrets: fingerprint_of_secrets(self.secrets(component), &argv, &[], &files),
                    argv,
                    files,
                }
            })
            .collect();
        let probe = component
            .probe
            .as_ref()
            .map(|probe| self.probe(component, probe, &public, &mut errors));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(RenderedInstance {
            secrets: fingerprint_of_secrets(
                self.told_by_restart(component),
                &argv,
                &values,
                &files,
            ),
            address: address(&public.instance, main_port(component)),
            component: component.name.to_string(),
            kind: component.kind,
            ordinal,
            ports: public.instance.ports.clone(),
            argv,
            environment: component.environment.keys().cloned().zip(values).collect(),
            files,
            probe,
            stop: component.stop.clone(),
            tasks,
            programs: self.fingerprint(component),
            name,
        })
    }

    /// The secrets that a component declares.
    fn secrets(&self, component: &Component) -> impl Iterator<Item = &Secret> {
        component
            .secrets
            .iter()
            .filter_map(|spec| self.input.secrets.get(&spec.name))
    }

    /// Those of them that make an instance another one when they change. A pod stays where its tasks see to that.
    fn told_by_restart(&self, component: &Component) -> impl Iterator<Item = &Secret> {
        let in_pods = self.input.place.in_pods;
        component
            .secrets
            .iter()
            .filter(move |spec| !(in_pods && spec.is_told_by_tasks()))
            .filter_map(|spec| self.input.secrets.get(&spec.name))
    }

    /// The files of an instance, each parsed as what its name says that it is.
    fn files(
        &self,
        component: &Component,
        instance: &str,
        files: &[FileSpec],
        public: &Context<'_>,
        private: &Context<'_>,
        errors: &mut Vec<RenderError>,
    ) -> Vec<RenderedFile> {
        let mut rendered = Vec::with_capacity(files.len());
        let place = if self.input.place.in_pods {
            Place::K3s
        } else {
            Place::Local
        };
        // On one machine whoever may read a file is said by its mode. In a cluster a private file without a secret in
        // it is no Secret, so that its changes can be shown.
        let tells_nothing = |file: &FileSpec| {
            let template = format!("{}/{}", component.name, file.template);
            place == Place::K3s
                && self
                    .engine
                    .file(component.name.as_str(), &template, public)
                    .is_ok()
        };
        for file in files {
            if !file.places.is_empty() && !file.places.contains(&place) {
                continue;
            }
            let template = format!("{}/{}", component.name, file.template);
            let context = if file.mode == FileMode::Private {
                private
            } else {
                public
            };
            let outcome = self
                .engine
                .file(component.name.as_str(), &template, context)
                .and_then(|text| {
                    parse(&file.path, &text).map_err(|(syntax, reason)| RenderError::Document {
                        instance: instance.to_owned(),
                        document: file.path.clone(),
                        template,
                        syntax,
                        reason,
                    })?;
                    Ok(text)
                });
            match outcome {
                Ok(text) => rendered.push(RenderedFile {
                    path: file.path.clone(),
                    mode: file.mode,
                    content: text,
                    confidential: file.mode == FileMode::Private && !tells_nothing(file),
                }),
                Err(error) => errors.push(error),
            }
        }
        rendered
    }

    /// Texts of the component.yaml that are templates themselves.
    fn texts(
        &self,
        component: &Component,
        field: &str,
        sources: &[String],
        context: &Context<'_>,
        errors: &mut Vec<RenderError>,
    ) -> Vec<String> {
        let name = format!("{}/component.yaml ({field})", component.name);
        let mut texts = Vec::with_capacity(sources.len());
        for source in sources {
            match self.engine.text(&name, source, context) {
                Ok(text) => texts.push(text),
                Err(error) => errors.push(error),
            }
        }
        texts
    }

    fn probe(
        &self,
        component: &Component,
        probe: &ProbeSpec,
        context: &Context<'_>,
        errors: &mut Vec<RenderError>,
    ) -> RenderedProbe {
        RenderedProbe {
            kind: probe.kind,
            address: address(&context.instance, probe.port.as_deref()),
            path: probe.path.clone(),
            command: self.texts(component, "probe", &probe.command, context, errors),
            user: probe.user.clone(),
            password_file: probe
                .secret
                .as_ref()
                .and_then(|name| self.input.secrets.get(name))
                .map(|secret| secret.path.clone()),
            interval_milliseconds: probe.interval_milliseconds,
            timeout_milliseconds: probe.timeout_milliseconds,
            failures: probe.failures,
            start_seconds: probe.start_seconds,
        }
    }

    /// What a template of this instance sees; the values of secrets only where nobody else can read them.
    fn context<'c>(
        &'c self,
        component: &'c Component,
        settings: &'c ComponentSettings,
        ordinal: u32,
        with_values: bool,
    ) -> Context<'c> {
        let input = self.input;
        Context {
            environment: EnvironmentContext {
                name: input.environment.name.as_str(),
                target: input.environment.target,
                admin_email: &input.environment.secrets.admin_email,
                ingress_host: &input.environment.ingress.host,
                tls_secret: input.environment.ingress.tls_secret(),
                proxies: input.environment.proxy_networks(),
                shared_addresses: input.environment.shared_networks(),
            },
            component: ComponentContext {
                name: component.name.as_str(),
                replicas: settings.replicas,
                settings: &settings.settings,
                storage: settings
                    .storage
                    .as_ref()
                    .map(crate::value::Quantity::as_str),
                after: self.below(component),
            },
            instance: instance_context(input, component, settings, ordinal),
            components: &self.peers,
            secrets: component
                .secrets
                .iter()
                .filter_map(|spec| {
                    let secret = input.secrets.get(&spec.name)?;
                    let value = with_values.then(|| secret.expose());
                    let values = with_values.then(|| {
                        let mut values: Vec<&str> = [secret.expose()]
                            .into_iter()
                            .chain(secret.expose_other())
                            .collect();
                        values.sort_unstable();
                        values
                    });
                    let context = SecretContext {
                        path: secret.path.as_str(),
                        value,
                        values,
                        other: secret.other_path().filter(|_| spec.gives_other()),
                    };
                    Some((spec.name.as_str(), context))
                })
                .collect(),
            public_keys: input
                .secrets
                .iter()
                .filter_map(|(name, secret)| Some((name.as_str(), secret.public()?)))
                .collect(),
            programs: input
                .place
                .programs
                .iter()
                .map(|(name, program)| (name.as_str(), program.path.as_str()))
                .collect(),
            state: StateContext {
                dir: &input.place.state_dir,
                run_dir: &input.place.run_dir,
            },
            shop: ShopContext {
                version: input.version.0,
                commit: input.version.1,
            },
        }
    }

    /// The components that one leans on, of those that are enabled.
    fn below<'c>(&self, component: &'c Component) -> Vec<&'c str> {
        component
            .after
            .iter()
            .map(ComponentName::as_str)
            .filter(|name| self.peers.contains_key(*name))
            .collect()
    }

    /// The programs that a component runs: those that it declares, and the shop's own if it is one of its services.
    fn fingerprint(&self, component: &Component) -> String {
        let own = (component.kind == ComponentKind::Service).then_some("shopd");
        component
            .programs
            .iter()
            .map(|program| program.name.as_str())
            .chain(own)
            .filter_map(|name| {
                let program = self.input.place.programs.get(name)?;
                Some(format!("{name}={};", program.fingerprint))
            })
            .collect()
    }
}

/// The name of an instance.
pub(super) fn instance_name(component: &ComponentName, ordinal: u32) -> String {
    format!("{component}-{ordinal}")
}

fn instance_context(
    input: &RenderInput<'_>,
    component: &Component,
    settings: &ComponentSettings,
    ordinal: u32,
) -> InstanceContext {
    let name = instance_name(&component.name, ordinal);
    let place = input.place;
    if place.in_pods {
        return pod_context(input, component, settings, ordinal, name);
    }
    let folder = place.instance_dir(&name);
    InstanceContext {
        shared: false,
        host: place.listen.clone(),
        ports: ports(component, settings, ordinal),
        listen: place.listen.clone(),
        networks: place.networks.clone(),
        data_dir: format!("{folder}/data"),
        config_dir: format!("{folder}/config"),
        run_dir: format!("{}/{name}", place.run_dir),
        ordinal,
        name,
    }
}

/// The name by which others reach a pod, of what its component declares.
pub fn pod_host(declared: &str, pod: &str, environment: &Environment) -> String {
    let own = environment.k3s.config.get("cluster-domain");
    let cluster = own
        .and_then(|domain| domain.as_str())
        .unwrap_or("cluster.local");
    // The dot at the end says that the name is whole: nobody adds to it, and asks beyond the cluster for what comes of that.
    let domain = format!("{NAMESPACE}.svc.{cluster}.");
    declared
        .replace("{instance}", pod)
        .replace("{domain}", &domain)
}

/// An instance that is a pod. Pods that read the same files are one instance to everybody: their Service.
fn pod_context(
    input: &RenderInput<'_>,
    component: &Component,
    settings: &ComponentSettings,
    ordinal: u32,
    own_name: String,
) -> InstanceContext {
    let shared = component.pod.files == PodFiles::Shared;
    let name = if shared {
        component.name.to_string()
    } else {
        own_name
    };
    let (place, host) = (input.place, component.pod.host.as_deref());
    InstanceContext {
        shared,
        ordinal,
        host: host.map_or_else(
            || component.name.to_string(),
            |host| pod_host(host, &name, input.environment),
        ),
        ports: settings.ports.clone(),
        listen: place.listen.clone(),
        networks: place.networks.clone(),
        data_dir: format!("{}/data", place.state_dir),
        config_dir: if shared {
            POD_CONFIG.to_owned()
        } else {
            format!("{POD_CONFIG}/{name}")
        },
        run_dir: place.run_dir.clone(),
        name,
    }
}

/// How many sets of files a component has.
pub(super) fn file_sets(input: &RenderInput<'_>, component: &Component, replicas: u32) -> u32 {
    if input.place.in_pods && component.pod.files == PodFiles::Shared {
        replicas.min(1)
    } else {
        replicas
    }
}

fn ports(
    component: &Component,
    settings: &ComponentSettings,
    ordinal: u32,
) -> BTreeMap<String, u16> {
    settings
        .ports
        .iter()
        .map(|(name, first)| {
            let shared = component.ports.get(name).is_some_and(|port| port.shared);
            let offset = if shared { 0 } else { ordinal };
            let port = first.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX));
            (name.clone(), port)
        })
        .collect()
}

/// The port that clients know a component by: `http`, or the one that is called like the component itself.
fn main_port(component: &Component) -> Option<&str> {
    ["http", component.name.as_str()]
        .into_iter()
        .find(|name| component.ports.contains_key(*name))
}

/// `host:port` of a port by its name, or of the first that there is.
fn address(instance: &InstanceContext, port: Option<&str>) -> String {
    let number = port
        .and_then(|name| instance.ports.get(name))
        .or_else(|| instance.ports.values().next());
    number.map_or_else(
        || instance.host.clone(),
        |number| format!("{}:{number}", instance.host),
    )
}

/// What every component may know about the others.
fn peers(input: &RenderInput<'_>) -> BTreeMap<String, PeersContext> {
    let local = input.environment.target == Target::Local;
    input
        .environment
        .enabled()
        .filter_map(|(name, settings)| Some((name, settings, input.catalogue.get(name.as_str())?)))
        .map(|(name, settings, component)| {
            let instances = (0..file_sets(input, component, settings.replicas))
                .map(|ordinal| instance_context(input, component, settings, ordinal))
                .map(|instance| PeerContext {
                    name: instance.name,
                    ordinal: instance.ordinal,
                    shared: instance.shared,
                    host: instance.host,
                    ports: instance.ports,
                    socket_dir: local.then_some(instance.run_dir),
                })
                .collect();
            let peers = PeersContext {
                replicas: settings.replicas,
                settings: settings.settings.clone(),
                instances,
            };
            (name.to_string(), peers)
        })
        .collect()
}

/// Reads a document as what its name says that it is.
fn parse(path: &str, content: &str) -> Result<(), (&'static str, String)> {
    let extension = path.rsplit('.').next().unwrap_or_default();
    match extension {
        "toml" => content
            .parse::<toml::Table>()
            .map(drop)
            .map_err(|error| ("TOML", error.to_string().trim_end().to_owned())),
        "json" => serde_json::from_str::<serde_json::Value>(content)
            .map(drop)
            .map_err(|error| ("JSON", error.to_string())),
        _ => Ok(()),
    }
}
