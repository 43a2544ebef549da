//! A database of its own on a server, for whoever measures or tries something: made under a name that nobody else has, and
//! dropped whole.

use std::str::FromStr as _;

use saga::StoreError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use uuid::Uuid;

/// A database that [`Scratch::create`] has made.
#[derive(Debug)]
pub struct Scratch {
    server: PgConnectOptions,
    name: String,
}

impl Scratch {
    /// Makes an empty database on the server that `url` names.
    ///
    /// # Errors
    /// The URL is malformed, the server is away, or the role may not make databases.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let server = PgConnectOptions::from_str(url).map_err(|_| StoreError::Broken("the database URL is malformed".to_owned()))?;
        let scratch = Self { server, name: format!("berth_bench_{}", Uuid::now_v7().simple()) };
        scratch.order(&format!("create database {}", scratch.name)).await?;
        Ok(scratch)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the new database is. It may hold a password.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.clone().database(&self.name).to_url_lossy().to_string()
    }

    /// Drops the database, whoever is still connected to it.
    ///
    /// # Errors
    /// The server is away.
    pub async fn discard(self) -> Result<(), StoreError> {
        self.order(&format!("drop database {} with (force)", self.name)).await
    }

    /// The order names nothing but a database of ours, by letters and digits that were made here.
    async fn order(&self, order: &str) -> Result<(), StoreError> {
        let failed = |e: sqlx::Error| StoreError::from(super::Error::from(e));
        let mut server = PgConnection::connect_with(&self.server).await.map_err(failed)?;
        sqlx::raw_sql(AssertSqlSafe(order.to_owned())).execute(&mut server).await.map_err(failed)?;
        server.close().await.map_err(failed)
    }
}
