//! The API server: requests with a deadline, and what it answers.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request as HttpRequest;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
    ValidationDirective,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{Request, Status};
use kube::{Client, Config};
use serde_json::Value;

use super::error::ClusterError;
use super::kinds::{Kind, Kinds};
use super::object::{MANAGER, ObjectKey, text};
use crate::causes::{innermost, with_causes};

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often what can be repeated is tried while the API server does not answer, and the pause between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(700);

/// Another way to a cluster's addresses than the direct one.
pub trait Passage: Send + Sync {
    /// An address here that leads to one there.
    fn lead(&self, target: SocketAddr) -> BoxFuture<'_, Result<SocketAddr, String>>;
}

/// A cluster. Clones share connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    passage: Option<Arc<dyn Passage>>,
    kinds: Arc<RwLock<Arc<Kinds>>>,
}

/// How an object is applied.
#[derive(Clone, Copy, Debug)]
pub struct Applying {
    /// Only say what would be there.
    pub dry_run: bool,
    /// Take fields from those who set them to something else.
    pub force: bool,
    /// The field manager.
    pub manager: &'static str,
}

impl Default for Applying {
    fn default() -> Self {
        Self {
            dry_run: false,
            force: false,
            manager: MANAGER,
        }
    }
}

/// What came of applying an object.
#[derive(Debug)]
pub enum Applied {
    /// The object as it is then.
    Object(Value),
    /// The API server refused. Kept apart from errors: a plan shows all refusals at once.
    Refused(Box<Status>),
}

impl Cluster {
    /// Connects with a kubeconfig and asks what kinds there are.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, ClusterError> {
        Self::connect_through(kubeconfig, None).await
    }

    /// Where a kubeconfig says that the API server is: its name or address, and its port.
    pub fn address_in(kubeconfig: &Path) -> Option<(String, u16)> {
        let file = Kubeconfig::read_from(kubeconfig).ok()?;
        let server = file
            .clusters
            .into_iter()
            .find_map(|it| it.cluster?.server)?;
        let server: http::Uri = server.parse().ok()?;
        Some((host_in(&server)?, server.port_u16().unwrap_or(443)))
    }

    /// The same where an API server is not reached at the address that the kubeconfig has: through a passage, which comes
    /// with its address at the passage's other end.
    pub async fn connect_through(
        kubeconfig: &Path,
        passage: Option<(Arc<dyn Passage>, SocketAddr)>,
    ) -> Result<Self, ClusterError> {
        let unusable = |reason: String| ClusterError::Kubeconfig {
            path: kubeconfig.to_owned(),
            reason,
        };
        let file =
            Kubeconfig::read_from(kubeconfig).map_err(|error| unusable(with_causes(&error)))?;
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|error| unusable(with_causes(&error)))?;
        config.connect_timeout = Some(CONNECT);
        // One that the user has for the web does not lead to these machines.
        config.proxy_url = None;
        let server = config
            .cluster_url
            .to_string()
            .trim_end_matches('/')
            .to_owned();
        if let Some((passage, there)) = &passage {
            let here = led(&**passage, *there, &server).await?;
            // Its certificate is for the name that it has there.
            config.tls_server_name = host_in(&config.cluster_url);
            config.cluster_url = format!("https://{here}")
                .parse()
                .map_err(|error| unusable(with_causes(&error)))?;
        }
        let client = Client::try_from(config).map_err(|error| unusable(with_causes(&error)))?;
        let cluster = Self {
            client,
            server,
            passage: passage.map(|(passage, _)| passage),
            kinds: Arc::default(),
        };
        cluster.learn_kinds().await?;
        Ok(cluster)
    }

    /// Whether it is reached through a passage.
    pub fn is_passed_to(&self) -> bool {
        self.passage.is_some()
    }

    /// Where an address of the cluster is reached from here.
    pub async fn way_to(&self, target: SocketAddr) -> Result<SocketAddr, ClusterError> {
        match &self.passage {
            Some(passage) => led(&**passage, target, &self.server).await,
            None => Ok(target),
        }
    }

    /// Where the API server is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The host in that address.
    pub fn server_host(&self) -> Option<String> {
        host_in(&self.server.parse().ok()?)
    }

    /// The client itself, for what is no request of an object: logs and ports of pods.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What kinds there are, as they were learned last.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds
            .read()
            .map(|kinds| Arc::clone(&kinds))
            .unwrap_or_default()
    }

    /// Asks again what kinds there are: definitions may have been added.
    pub async fn learn_kinds(&self) -> Result<(), ClusterError> {
        let doing = || "ask what kinds there are".to_owned();
        let mut tries = 1;
        let kinds = loop {
            let asked = tokio::time::timeout(REQUEST, Kinds::discover(&self.client)).await;
            let error = match asked {
                Ok(Ok(kinds)) => break kinds,
                Ok(Err(error)) => self.failed(doing(), error, false),
                Err(_) => self.too_slow(doing()),
            };
            if tries == TRIES || !error.is_transient() {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        };
        if let Ok(mut known) = self.kinds.write() {
            *known = Arc::new(kinds);
        }
        Ok(())
    }

    /// Reads an object; none if there is none, or no such kind.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        let kinds = self.kinds();
        let Some(kind) = kinds.of_key(key) else {
            return Ok(None);
        };
        let request = Request::new(kind.path(key.namespace.as_deref()))
            .get(&key.name, &kube::api::GetParams::default());
        match self.patiently(&format!("read {key}"), request).await {
            Ok(object) => Ok(Some(typed(object, kind))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the objects of a kind; of all namespaces if none is named.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let parameters = ListParams::default().labels(selector);
        let request = Request::new(kind.path(namespace)).list(&parameters);
        let mut answer = self
            .patiently(&format!("list {}", kind.plural), request)
            .await?;
        let items = answer.get_mut("items").map(Value::take);
        let Some(Value::Array(items)) = items else {
            return Ok(Vec::new());
        };
        Ok(items.into_iter().map(|item| typed(item, kind)).collect())
    }

    /// Lists the objects of a kind of the core, by its name.
    pub async fn list_named(
        &self,
        group: &str,
        kind: &str,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let key = ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: String::new(),
        };
        let kinds = self.kinds();
        match kinds.of_key(&key) {
            Some(kind) => self.list(kind, Some(namespace), selector).await,
            None => Ok(Vec::new()),
        }
    }

    /// Applies an object, in a namespace of its own choice or in another one.
    pub async fn apply(
        &self,
        object: &Value,
        namespace: Option<&str>,
        applying: Applying,
    ) -> Result<Applied, ClusterError> {
        let kinds = self.kinds();
        let kind = kinds.of(object).ok_or_else(|| unknown_kind(object))?;
        let name = text(object, "/metadata/name").unwrap_or_default();
        let parameters = PatchParams {
            dry_run: applying.dry_run,
            force: applying.force,
            field_manager: Some(applying.manager.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let namespace = namespace.or(text(object, "/metadata/namespace"));
        let request =
            Request::new(kind.path(namespace)).patch(name, &parameters, &Patch::Apply(object));
        let verb = if applying.dry_run { "check" } else { "apply" };
        let doing = format!("{verb} {}/{name}", kind.kind.to_ascii_lowercase());
        match self.answered(&doing, request).await? {
            Ok(object) => Ok(Applied::Object(typed(object, kind))),
            Err(status) => Ok(Applied::Refused(status)),
        }
    }

    /// Makes an object that must not be there yet; none if it is.
    pub async fn create(&self, object: &Value) -> Result<Option<Value>, ClusterError> {
        let kinds = self.kinds();
        let kind = kinds.of(object).ok_or_else(|| unknown_kind(object))?;
        let name = text(object, "/metadata/name").unwrap_or_default();
        let doing = format!("make {}/{name}", kind.kind.to_ascii_lowercase());
        let body = serde_json::to_vec(object).map_err(|error| ClusterError::Malformed {
            reason: error.to_string(),
        })?;
        let parameters = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let request =
            Request::new(kind.path(text(object, "/metadata/namespace"))).create(&parameters, body);
        match self.once(&doing, request, hides(kind)).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::Refused { code: 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces an object that is still as it was read; false if it is not.
    pub async fn replace(&self, object: &Value) -> Result<bool, ClusterError> {
        let kinds = self.kinds();
        let kind = kinds.of(object).ok_or_else(|| unknown_kind(object))?;
        let name = text(object, "/metadata/name").unwrap_or_default();
        let doing = format!("replace {}/{name}", kind.kind.to_ascii_lowercase());
        let body = serde_json::to_vec(object).map_err(|error| ClusterError::Malformed {
            reason: error.to_string(),
        })?;
        let parameters = PostParams {
            dry_run: false,
            field_manager: Some(MANAGER.to_owned()),
        };
        let request = Request::new(kind.path(text(object, "/metadata/namespace"))).replace(
            name,
            &parameters,
            body,
        );
        match self.once(&doing, request, hides(kind)).await {
            Ok(_) => Ok(true),
            Err(ClusterError::Refused {
                code: 409 | 404, ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object that was seen, and what it owns; whatever took its name meanwhile stays.
    pub async fn delete(&self, object: &Value) -> Result<(), ClusterError> {
        let Some(key) = ObjectKey::of(object) else {
            return Ok(());
        };
        let kinds = self.kinds();
        let Some(kind) = kinds.of_key(&key) else {
            return Ok(());
        };
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: text(object, "/metadata/uid").map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let request =
            Request::new(kind.path(key.namespace.as_deref())).delete(&key.name, &parameters);
        match self.patiently(&format!("delete {key}"), request).await {
            Ok(_)
            | Err(ClusterError::Refused {
                code: 404 | 409, ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks for text, such as a log.
    pub(super) async fn text(
        &self,
        doing: &str,
        request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<String, ClusterError> {
        let request = built(doing, request)?;
        match tokio::time::timeout(REQUEST, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(self.failed(doing.to_owned(), error, false)),
            Err(_) => Err(self.too_slow(doing.to_owned())),
        }
    }

    /// A request that can be repeated is, while nobody answers.
    async fn patiently(
        &self,
        doing: &str,
        request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, ClusterError> {
        match self.answered(doing, request).await? {
            Ok(answer) => Ok(answer),
            Err(status) => Err(ClusterError::of_status(doing.to_owned(), &status, false)),
        }
    }

    /// The answer to a request that can be repeated: what was asked for, or a refusal.
    async fn answered(
        &self,
        doing: &str,
        request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Result<Value, Box<Status>>, ClusterError> {
        let request = built(doing, request)?;
        let mut tries = 1;
        loop {
            let asked = self.client.request::<Value>(request.clone());
            let error = match tokio::time::timeout(REQUEST, asked).await {
                Ok(Ok(answer)) => return Ok(Ok(answer)),
                Ok(Err(kube::Error::Api(status))) => return Ok(Err(status)),
                Ok(Err(error)) => self.failed(doing.to_owned(), error, false),
                Err(_) => self.too_slow(doing.to_owned()),
            };
            if tries == TRIES || !error.is_transient() {
                return Err(error);
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A request that is not repeated.
    async fn once(
        &self,
        doing: &str,
        request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
        hide: bool,
    ) -> Result<Value, ClusterError> {
        let request = built(doing, request)?;
        match tokio::time::timeout(REQUEST, self.client.request::<Value>(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(doing.to_owned(), error, hide)),
            Err(_) => Err(self.too_slow(doing.to_owned())),
        }
    }

    pub(super) fn failed(&self, doing: String, error: kube::Error, hide: bool) -> ClusterError {
        match error {
            kube::Error::Api(status) => ClusterError::of_status(doing, &status, hide),
            error => ClusterError::Unreachable {
                doing,
                server: self.server.clone(),
                reason: innermost(&error),
            },
        }
    }

    fn too_slow(&self, doing: String) -> ClusterError {
        ClusterError::Unreachable {
            doing,
            server: self.server.clone(),
            reason: format!("no answer within {} s", REQUEST.as_secs()),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cluster({})", self.server)
    }
}

/// Objects of a list say neither version nor kind; those that are read alone say both.
fn typed(mut object: Value, kind: &Kind) -> Value {
    if let Some(fields) = object.as_object_mut() {
        for (name, value) in [("apiVersion", &kind.api_version), ("kind", &kind.kind)] {
            fields
                .entry(name)
                .or_insert_with(|| Value::from(value.as_str()));
        }
    }
    object
}

fn hides(kind: &Kind) -> bool {
    kind.kind == "Secret"
}

fn unknown_kind(object: &Value) -> ClusterError {
    let of = |pointer| text(object, pointer).unwrap_or("?").to_owned();
    ClusterError::UnknownKind {
        object: of("/metadata/name"),
        kind: of("/kind"),
        api_version: of("/apiVersion"),
    }
}

fn built(
    doing: &str,
    request: Result<HttpRequest<Vec<u8>>, kube::core::request::Error>,
) -> Result<HttpRequest<Vec<u8>>, ClusterError> {
    request.map_err(|error| ClusterError::Malformed {
        reason: format!("{doing}: {error}"),
    })
}

/// Where a passage to an API server leads to an address.
async fn led(
    passage: &dyn Passage,
    target: SocketAddr,
    server: &str,
) -> Result<SocketAddr, ClusterError> {
    let leading = passage.lead(target).await;
    leading.map_err(|reason| ClusterError::Unreachable {
        doing: format!("reach {target} through ssh"),
        server: server.to_owned(),
        reason,
    })
}

/// The name or address in a URL, without the brackets of an IPv6 address.
fn host_in(url: &http::Uri) -> Option<String> {
    Some(url.host()?.trim_matches(['[', ']']).to_owned())
}
