//! The command line of `berth dev token`, and the way to whoever holds the data folder.

use std::time::Duration;

use clap::Args;
use domain::PrincipalKind;

use super::grant::{On, Wanted};
use super::{control, grant, house, on_runtime};
use crate::config::{Config, Period};
use crate::data_folder::{DataFolder, Held};
use crate::failure::Failure;

/// How often, and how long, a process that starts or stops is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(group = clap::ArgGroup::new("principal").required(true))]
pub struct Arguments {
    /// The user that the token is for; made if there is none of this name.
    #[arg(long, group = "principal", value_name = "NAME")]
    user: Option<String>,
    /// The service account that the token is for; made if there is none of this name.
    #[arg(long, group = "principal", value_name = "NAME")]
    service_account: Option<String>,
    /// A role to give: owner, admin, member or viewer on an account or workspace, operator or auditor on the platform.
    #[arg(long, requires = "on")]
    role: Option<String>,
    /// What the role is on: account:ID, workspace:ID or platform.
    #[arg(long, requires = "role", value_name = "SCOPE")]
    on: Option<On>,
    /// How long the token is valid.
    #[arg(long, default_value = "30d", value_name = "PERIOD")]
    expires: Period,
}

impl Arguments {
    fn wanted(self) -> Wanted {
        let (kind, name) = match (self.user, self.service_account) {
            (Some(name), _) => (PrincipalKind::User, name),
            (None, name) => (PrincipalKind::ServiceAccount, name.unwrap_or_default()),
        };
        Wanted { kind, name, role: self.role.zip(self.on), lifetime: self.expires.0 }
    }
}

/// Prints a token: by the running `berth dev` if there is one, otherwise by opening the folder for a moment.
///
/// # Errors
/// There is no data folder; the role or its scope does not exist.
pub fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let token = on_runtime(token(config, arguments.wanted()))?;
    crate::print(&format!("{token}\n"))
}

async fn token(config: &Config, wanted: Wanted) -> Result<String, Failure> {
    let dir = &config.data.dir;
    if !dir.is_dir() {
        return Err(Failure::new(format!(
            "there is no data folder {}: start `berth dev` first, or name its folder: --data-dir DIR",
            dir.display()
        )));
    }
    let reached = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(token) = control::ask(dir, &wanted).await? {
                return Ok(token);
            }
            if let Held::Ours(folder) = DataFolder::try_open(dir)? {
                return alone(config, &folder, &wanted).await;
            }
            // Somebody holds the folder and does not listen: it is starting or stopping.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    reached.await.unwrap_or_else(|_| {
        Err(Failure::new(format!("a process holds the data folder {} and does not answer. Look at its log", dir.display())))
    })
}

/// With no process at work on the folder, this one is.
async fn alone(config: &Config, folder: &DataFolder, wanted: &Wanted) -> Result<String, Failure> {
    if !house::has_database(folder) {
        return Err(Failure::new(format!("{} holds no data of Berth yet: start `berth dev` first", folder.path().display())));
    }
    let house = house::open(config, folder).await?;
    let token = grant::token(&house.berth, &house.issuer, wanted).await;
    house.store.db().close().await;
    token
}
