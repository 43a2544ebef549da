//! The one connection to SpiceDB, made when it is first needed and made anew when it is lost.

use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use spicedb_grpc_tonic::v1::permissions_service_client::PermissionsServiceClient;
use spicedb_grpc_tonic::v1::schema_service_client::SchemaServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::SettingsError;

/// The largest answer that is read: ten thousand ids and as many tuples are far less.
const ANSWER_MAX: usize = 32 * 1024 * 1024;

pub(super) struct Connection {
    endpoint: Endpoint,
    /// With how many came before it.
    channel: RwLock<(Channel, u64)>,
}

/// Clients of one connection.
pub(super) struct Clients(Channel);

impl Clients {
    pub fn permissions(&mut self) -> PermissionsServiceClient<Channel> {
        PermissionsServiceClient::new(self.0.clone()).max_decoding_message_size(ANSWER_MAX)
    }

    #[cfg(test)]
    pub fn channel(&self) -> Channel {
        self.0.clone()
    }

    pub fn schema(&mut self) -> SchemaServiceClient<Channel> {
        SchemaServiceClient::new(self.0.clone())
    }
}

impl Connection {
    pub async fn new(endpoint: &str, ca: Option<&Path>) -> Result<Self, SettingsError> {
        let wrong = |why: String| {
            SettingsError(format!(
                "`{endpoint}` cannot be SpiceDB's endpoint: {why}. Give http://HOST:PORT, https://HOST:PORT or unix:/PATH"
            ))
        };
        let is_secure = endpoint.starts_with("https://");
        if !is_secure && !endpoint.starts_with("http://") && !endpoint.starts_with("unix:") {
            return Err(wrong("its scheme is none of these".to_owned()));
        }
        let mut built = Endpoint::from_shared(endpoint.to_owned())
            .map_err(|e| wrong(e.to_string()))?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            // Pings of HTTP/2 are no use here: SpiceDB takes more than one in five minutes for an attack and hangs up, and ends
            // connections itself after half a minute. What leads nowhere is left behind by the first call that hears nothing.
            .tcp_keepalive(Some(Duration::from_secs(20)));
        if is_secure {
            let tls = match ca {
                None => ClientTlsConfig::new().with_native_roots(),
                Some(file) => {
                    let pem = tokio::fs::read(file)
                        .await
                        .map_err(|e| SettingsError(format!("the certificates in {} cannot be read: {e}", file.display())))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
            };
            built = built.tls_config(tls).map_err(|e| wrong(e.to_string()))?;
        } else if let Some(ca) = ca {
            return Err(wrong(format!("the certificates in {} need https", ca.display())));
        }
        let channel = built.connect_lazy();
        Ok(Self { endpoint: built, channel: RwLock::new((channel, 0)) })
    }

    /// Clients, and which connection they are of.
    pub fn clients(&self) -> (Clients, u64) {
        let (channel, generation) = &*self.channel.read().unwrap_or_else(PoisonError::into_inner);
        (Clients(channel.clone()), *generation)
    }

    /// Leaves this connection behind; calls that are under way on it go on.
    pub fn renew(&self, generation: u64) {
        let mut current = self.channel.write().unwrap_or_else(PoisonError::into_inner);
        if current.1 == generation {
            *current = (self.endpoint.connect_lazy(), generation + 1);
        }
    }
}
