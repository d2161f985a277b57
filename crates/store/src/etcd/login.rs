//! Who we are to etcd: a user with a password, for whom etcd gives a token that goes with each call.
//!
//! A member that starts anew, or whose users were changed, refuses the token; then a new one is asked for, once for all
//! who wait, and the call is made again. Where etcd asks nobody who he is, no token is asked for.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::client::{Error, Etcd};
use super::proto::AuthenticateRequest;
use super::proto::auth_client::AuthClient;

/// What etcd says of a call whose token is of no use any more, or that has none.
const REFUSALS: [&str; 3] = [
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    "etcdserver: user name is empty",
];
/// What it says when it asks nobody who he is.
const OFF: &str = "etcdserver: authentication is not enabled";

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User {}", self.name)
    }
}

type Token = MetadataValue<Ascii>;

/// The connection, with the token.
pub(super) type Service = InterceptedService<Channel, Bearer>;

/// Adds the token to each call.
#[derive(Clone)]
pub(super) struct Bearer(Option<Arc<Token>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("token", Token::clone(token));
        }
        Ok(request)
    }
}

/// What the user got.
#[derive(Default)]
pub(super) struct Login {
    token: ArcSwapOption<Token>,
    /// Why the last try failed.
    fault: ArcSwapOption<String>,
    // It holds nothing that a table could: one asks for a token, and the others wait for that.
    turn: tokio::sync::Mutex<()>,
}

impl Login {
    pub(super) fn bearer(&self) -> Bearer {
        Bearer(self.token.load_full())
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.fault.load().as_deref().cloned()
    }

    fn is_still(&self, used: &Bearer) -> bool {
        match (&*self.token.load(), &used.0) {
            (Some(now), Some(used)) => Arc::ptr_eq(now, used),
            (now, used) => now.is_none() && used.is_none(),
        }
    }
}

impl Etcd {
    /// The user, if that may help a call that failed.
    pub(super) fn user_for(&self, error: &Error) -> Option<&User> {
        let user = self.shared.options.user.as_ref();
        user.filter(|_| {
            matches!(error, Error::Refused { message, .. } if REFUSALS.contains(&message.as_str()))
        })
    }

    /// Gets another token than the one that was used, unless somebody else did meanwhile.
    pub(super) async fn log_in(&self, user: &User, used: &Bearer) -> Result<(), Error> {
        let login = &self.shared.login;
        let _turn = login.turn.lock().await;
        if !login.is_still(used) {
            return Ok(());
        }
        let request = AuthenticateRequest {
            name: user.name.clone(),
            password: user.password.clone(),
        };
        let mut client = AuthClient::new(self.channel());
        let call = client.authenticate(request);
        let answer = match self.once("authenticate", &user.name, call).await {
            Ok(answer) => answer.into_inner(),
            // Switched off since: the next call needs no token.
            Err(Error::Refused { message, .. }) if message == OFF => {
                login.token.store(None);
                return Ok(());
            }
            Err(error) => {
                login.fault.store(Some(Arc::new(error.to_string())));
                self.shared.trouble.notify_one();
                return Err(error);
            }
        };
        let token = answer.token.parse().map_err(|_| Error::Unanswered {
            verb: "authenticate",
            key: user.name.clone(),
            message: "the token is not one that can be sent".to_owned(),
        })?;
        login.token.store(Some(Arc::new(token)));
        login.fault.store(None);
        tracing::info!(user = user.name, "etcd knows us");
        Ok(())
    }
}
