//! What an account says about what is made for it, on the wire.

pub mod change;
pub mod get;

use domain::account_settings::Settings;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub struct AccountSettings {
    /// The region of a workspace that is made because a token was asked for by its name. Null: none, which does where there is
    /// only one region.
    #[schema(examples("local"))]
    default_region: Option<String>,
}

impl From<Settings> for AccountSettings {
    fn from(settings: Settings) -> Self {
        Self { default_region: settings.default_region }
    }
}
