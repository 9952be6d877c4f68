//! From an environment to its objects, in the order in which they are applied.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::super::context::{EnvironmentContext, Place, ShopContext};
use super::super::instances::{Renderer, file_sets};
use super::super::{RenderError, RenderInput, RenderedInstance, Secret, SecretSet};
use super::context::{
    ComponentObjects, IngressContext, ObjectComponent, RolloutContext, ShopObjects, TaskContext,
};
use super::files::{PodFilesOf, base64, digest};
use super::side_by_side::side_by_side;
use super::{NAMESPACE, Object, parts, traffic, typed, wanted_secrets};
use crate::catalogue::{BothBy, Catalogue, Component, PodFiles, SecretSpec};
use crate::environment::{ComponentSettings, Environment, TlsKind};

/// The template of the objects of the shop as a whole.
const SHOP: &str = "kubernetes/shop.yaml.j2";

/// What objects are rendered from.
#[derive(Clone, Copy, Debug)]
pub struct ClusterInput<'a> {
    /// What is wanted.
    pub environment: &'a Environment,
    /// What each component is, and its templates.
    pub catalogue: &'a Catalogue,
    /// The secrets' values. Where pods find them is known here ([`super::pod_secret_path`]).
    pub secrets: &'a SecretSet,
    /// The full name of the image with the shop's own services.
    pub shop_image: &'a str,
    /// The certificate of the ingress, unless it is in a Secret of somebody else's.
    pub tls: Option<&'a TlsFiles>,
    /// The version of the shop's own programs, and the commit that they were built from.
    pub version: (&'a str, &'a str),
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: String,
    /// Its private key.
    pub key: Secret,
}

/// Renders all objects, or says everything that is wrong with their templates.
pub fn render_objects(input: &ClusterInput<'_>) -> Result<Vec<Object>, Vec<RenderError>> {
    let programs = input.catalogue.components().flat_map(|component| {
        let programs = component.programs.iter();
        programs.map(|program| program.name.clone())
    });
    // The image of the services has it there, and says so itself.
    let place = Place::pods(programs.chain(["shopd".to_owned()]));
    let files = RenderInput {
        environment: input.environment,
        catalogue: input.catalogue,
        place: &place,
        secrets: input.secrets,
        version: input.version,
    };
    let renderer = Renderer::new(&files);
    let components = input.environment.enabled().filter_map(|(name, settings)| {
        let component = input.catalogue.get(name.as_str())?;
        Some(Share::Component(component, settings))
    });
    let shares: Vec<Share<'_>> = std::iter::once(Share::Shop).chain(components).collect();
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    for mut done in side_by_side(&shares, |share| Assembly::of(input, &renderer, share)) {
        objects.append(&mut done.objects);
        errors.append(&mut done.errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    objects.sort_by_key(|(order, _)| *order);
    Ok(objects.into_iter().map(|(_, object)| object).collect())
}

/// What is rendered by itself.
enum Share<'a> {
    /// What belongs to no component.
    Shop,
    /// What belongs to one.
    Component(&'a Component, &'a ComponentSettings),
}

struct Assembly<'a> {
    input: &'a ClusterInput<'a>,
    renderer: &'a Renderer<'a>,
    objects: Vec<(u8, Object)>,
    errors: Vec<RenderError>,
}

impl<'a> Assembly<'a> {
    fn of(input: &'a ClusterInput<'a>, renderer: &'a Renderer<'a>, share: &Share<'_>) -> Self {
        let mut assembly = Self {
            input,
            renderer,
            objects: Vec::new(),
            errors: Vec::new(),
        };
        match share {
            Share::Shop => assembly.shop(),
            Share::Component(component, settings) => assembly.component(component, settings),
        }
        assembly
    }

    /// What belongs to no component: the namespace, what all share, and the secrets.
    fn shop(&mut self) {
        let environment = self.environment_context();
        let public_keys: BTreeMap<&str, &str> = self
            .input
            .secrets
            .iter()
            .filter_map(|(name, secret)| Some((name.as_str(), secret.public()?)))
            .collect();
        let context = ShopObjects {
            environment: &environment,
            namespace: NAMESPACE,
            shop: self.shop_context(),
            url: self.url(),
            public_keys: &public_keys,
        };
        self.template(None, SHOP, &context);
        for secret in self.secrets() {
            self.add("component.yaml", None, secret);
        }
        if let Some(secret) = self.certificate() {
            self.add("component.yaml", None, secret);
        }
    }

    fn component(&mut self, component: &Component, settings: &ComponentSettings) {
        let Some(instances) = self.instances(component, settings) else {
            return;
        };
        let Some(first) = instances.first() else {
            return;
        };
        let name = component.name.as_str();
        let declaration = format!("{name}/component.yaml");
        let files = PodFilesOf {
            name: format!("{name}-config"),
            files: files_of(component, &instances),
            secrets: &component.secrets,
            others: self.others(component, BothBy::Pods),
        };
        self.add(&declaration, Some(name), account(name));
        let policies = traffic::policies(self.input.environment, self.input.catalogue, component);
        for value in policies.into_iter().chain(files.objects()) {
            self.add(&declaration, Some(name), value);
        }
        let tasks = self.tasks(component, first, &declaration);
        let environment = self.environment_context();
        let image = settings.image.as_deref();
        let context = ComponentObjects {
            environment: &environment,
            namespace: NAMESPACE,
            nodes: self.input.environment.hosts.len(),
            component: ObjectComponent {
                name,
                about: &component.about,
                replicas: settings.replicas,
                autoscaling: settings.autoscaling,
                storage: settings
                    .storage
                    .as_ref()
                    .map(crate::value::Quantity::as_str),
                settings: &settings.settings,
            },
            image: image.unwrap_or(self.input.shop_image),
            shop_image: self.input.shop_image,
            ports: &settings.ports,
            run: command(component, first),
            pod: parts::parts(
                self.input.environment,
                component,
                settings,
                first,
                &files,
                &self.checksum(component, &instances),
            ),
            tasks,
            ingress: self.ingress(),
            rollout: RolloutContext {
                linger_seconds: self.input.environment.k3s.rollout.linger_seconds,
                deadline_seconds: self.input.environment.k3s.rollout.deadline.milliseconds() / 1000,
            },
        };
        for path in &component.pod.objects {
            self.template(Some(name), &component.object_template(path), &context);
        }
    }

    /// The instances with files of their own: one where all pods have the same.
    fn instances(
        &mut self,
        component: &Component,
        settings: &ComponentSettings,
    ) -> Option<Vec<RenderedInstance>> {
        let sets = file_sets(self.renderer.input, component, settings.replicas);
        let mut instances = Vec::new();
        for ordinal in 0..sets {
            match self.renderer.instance(component, settings, ordinal) {
                Ok(instance) => instances.push(instance),
                Err(mut wrong) => {
                    self.errors.append(&mut wrong);
                    return None;
                }
            }
        }
        Some(instances)
    }

    /// The tasks of a component, and the objects with their files.
    fn tasks(
        &mut self,
        component: &Component,
        first: &RenderedInstance,
        declaration: &str,
    ) -> Vec<TaskContext> {
        let mut contexts = Vec::new();
        for task in &first.tasks {
            let name = format!("{}-{}", component.name, task.name);
            let files = PodFilesOf {
                name: format!("{name}-config"),
                files: task
                    .files
                    .iter()
                    .map(|file| (folder_of(component, first), file))
                    .collect(),
                secrets: &component.secrets,
                others: self.others(component, BothBy::Tasks),
            };
            for value in files.objects() {
                self.add(declaration, Some(component.name.as_str()), value);
            }
            // A Job cannot change: other work, or another program, is another Job.
            let mut parts = vec![
                self.input.shop_image.to_owned(),
                task.digest(&first.programs),
                self.secret_values(component, |_| true),
            ];
            parts.extend(files.others.iter().map(|secret| secret.name.clone()));
            let work = digest(parts.iter().map(String::as_str));
            let common = parts::common(
                self.input.environment,
                &name,
                component.name.as_str(),
                &component.stop,
            );
            contexts.push(TaskContext {
                job: format!("{name}-{}", &work[..8]),
                run: task.argv.clone(),
                common,
                security: parts::container_security(),
                volumes: parts::volumes(&files),
                mounts: parts::mounts(&files),
                name,
            });
        }
        contexts
    }

    /// The Secrets that hold the shop's secrets.
    fn secrets(&self) -> Vec<Json> {
        let wanted = wanted_secrets(self.input.environment, self.input.catalogue);
        let mut objects: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
        for (name, spec) in wanted {
            if let Some(secret) = self.input.secrets.get(name) {
                let value = base64(secret.expose().as_bytes());
                objects
                    .entry(&spec.object)
                    .or_default()
                    .insert(name.to_owned(), value);
            }
        }
        objects
            .into_iter()
            .map(|(name, data)| {
                json!({
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": { "name": name },
                    "type": "Opaque",
                    "data": data,
                })
            })
            .collect()
    }

    /// The Secret with the ingress' certificate, if it is ours to make.
    fn certificate(&self) -> Option<Json> {
        let ingress = &self.input.environment.ingress;
        let name = ingress
            .tls_secret()
            .filter(|_| ingress.tls.kind != TlsKind::Secret)?;
        let tls = self.input.tls?;
        Some(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "type": "kubernetes.io/tls",
            "data": {
                "tls.crt": base64(tls.certificate.as_bytes()),
                "tls.key": base64(tls.key.expose().as_bytes()),
            },
        }))
    }

    /// Changes when the pods of a component have to be made anew.
    fn checksum(&self, component: &Component, instances: &[RenderedInstance]) -> String {
        let mut texts: Vec<String> = instances.iter().map(RenderedInstance::digest).collect();
        texts.push(self.secret_values(component, |spec| !spec.is_told_by_tasks()));
        if component.pod.ingress_class.is_some()
            && let Some(tls) = self.input.tls
        {
            texts.push(digest([tls.certificate.as_str(), tls.key.expose()]));
        }
        digest(texts.iter().map(String::as_str))
    }

    /// The secrets that are rotated now and that a component meets in this place.
    fn others<'c>(&self, component: &'c Component, place: BothBy) -> Vec<&'c SecretSpec> {
        let is_rotated = |spec: &&SecretSpec| {
            let secret = self.input.secrets.get(&spec.name);
            secret.is_some_and(|secret| secret.expose_other().is_some())
        };
        component
            .secrets
            .iter()
            .filter(|spec| spec.rotate.as_ref().map(|rotate| rotate.both) == Some(place))
            .filter(is_rotated)
            .collect()
    }

    /// The values of those secrets that a component is given, as a digest.
    fn secret_values(&self, component: &Component, wanted: fn(&SecretSpec) -> bool) -> String {
        let given = component.secrets.iter().filter(|spec| wanted(spec));
        let values = given.filter_map(|spec| {
            let secret = self.input.secrets.get(&spec.name)?;
            Some(secret.expose())
        });
        digest(values)
    }

    fn ingress(&self) -> IngressContext<'a> {
        let ingress = &self.input.environment.ingress;
        let entry = ingress.entry_port();
        IngressContext {
            kind: if traffic::is_served(self.input.environment, self.input.catalogue) {
                "own"
            } else if ingress.has_class() {
                "class"
            } else {
                "port"
            },
            class: &ingress.class,
            host: &ingress.host,
            by_address: ingress.is_by_address(),
            tls_secret: ingress.tls_secret(),
            node_port: entry.on_nodes.then_some(entry.port),
        }
    }

    fn url(&self) -> String {
        let ingress = &self.input.environment.ingress;
        let entry = ingress.entry_port();
        let scheme = if entry.tls { "https" } else { "http" };
        let port = match (entry.tls, entry.port) {
            (true, 443) | (false, 80) => String::new(),
            (_, port) => format!(":{port}"),
        };
        format!("{scheme}://{}{port}/", ingress.host)
    }

    fn environment_context(&self) -> EnvironmentContext<'a> {
        let environment = self.input.environment;
        EnvironmentContext {
            name: environment.name.as_str(),
            target: environment.target,
            admin_email: &environment.secrets.admin_email,
            ingress_host: &environment.ingress.host,
            tls_secret: environment.ingress.tls_secret(),
            proxies: environment.proxy_networks(),
            shared_addresses: environment.shared_networks(),
        }
    }

    fn shop_context(&self) -> ShopContext<'a> {
        ShopContext {
            version: self.input.version.0,
            commit: self.input.version.1,
        }
    }

    /// Fills in a template and adds the objects in it.
    fn template(
        &mut self,
        component: Option<&str>,
        template: &str,
        context: &impl serde::Serialize,
    ) {
        let owner = component.unwrap_or("kubernetes");
        let text = match self.renderer.engine.file(owner, template, context) {
            Ok(text) => text,
            Err(error) => return self.errors.push(error),
        };
        match serde_saphyr::from_multiple::<Json>(&text) {
            Ok(values) => {
                for value in values.into_iter().filter(|value| !value.is_null()) {
                    self.add(template, component, value);
                }
            }
            Err(error) => self.errors.push(RenderError::Object {
                template: template.to_owned(),
                object: format!("the objects of {owner}"),
                reason: error.to_string(),
            }),
        }
    }

    /// Adds an object, once it fits its type.
    fn add(&mut self, template: &str, component: Option<&str>, value: Json) {
        let mut object = Object::new(template, component, value);
        let environment = self.input.environment.name.as_str();
        let checked = typed::check(object.value()).map(|kind| {
            object.belong(kind.namespaced.then_some(NAMESPACE), environment);
            kind.order
        });
        match checked {
            Ok(order) => self.objects.push((order, object)),
            Err(reason) => self.errors.push(RenderError::Object {
                template: template.to_owned(),
                object: object.display(),
                reason,
            }),
        }
    }
}

/// All files of a component's pods, each with the folder of whoever reads it.
fn files_of<'a>(
    component: &Component,
    instances: &'a [RenderedInstance],
) -> Vec<(String, &'a super::super::RenderedFile)> {
    instances
        .iter()
        .flat_map(|instance| {
            let folder = folder_of(component, instance);
            instance
                .files
                .iter()
                .map(move |file| (folder.clone(), file))
        })
        .collect()
}

/// The folder of an instance's files, if each has its own.
fn folder_of(component: &Component, instance: &RenderedInstance) -> String {
    match component.pod.files {
        PodFiles::Shared => String::new(),
        PodFiles::Own => instance.name.clone(),
    }
}

/// The command of the pods. Where each reads files of its own, the cluster fills in which.
fn command(component: &Component, instance: &RenderedInstance) -> Vec<String> {
    if component.pod.files == PodFiles::Shared {
        return instance.argv.clone();
    }
    instance
        .argv
        .iter()
        .map(|argument| argument.replace(&instance.name, "$(POD_NAME)"))
        .collect()
}

fn account(name: &str) -> Json {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": name },
        "automountServiceAccountToken": false,
    })
}
