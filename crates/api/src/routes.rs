//! The table of routes, nothing else.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{
    State, accounts, api_tokens, document, exports, health, index, issuing, me, openapi, pauses, problem, regions, runs, service_accounts,
    users, workspaces,
};

pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(index::index))
        .routes(routes!(me::me))
        .routes(routes!(regions::regions))
        .routes(routes!(accounts::create::create, accounts::list::list))
        .routes(routes!(accounts::get::get))
        .routes(routes!(accounts::audit::audit))
        .routes(routes!(accounts::members::list::list, accounts::members::add::add))
        .routes(routes!(accounts::members::change::change, accounts::members::remove::remove))
        .routes(routes!(service_accounts::create::create, service_accounts::list::list))
        .routes(routes!(service_accounts::disable::disable))
        .routes(routes!(service_accounts::add_secret::add_secret, service_accounts::secrets::secrets))
        .routes(routes!(service_accounts::delete_secret::delete_secret))
        .routes(routes!(api_tokens::create::create, api_tokens::list::list))
        .routes(routes!(api_tokens::revoke::revoke))
        .routes(routes!(users::register::register))
        .routes(routes!(users::revoke::revoke))
        .routes(routes!(users::restore::restore))
        .routes(routes!(issuing::application::issue))
        .routes(routes!(issuing::keys::keys))
        .routes(routes!(issuing::own::own))
        .routes(routes!(issuing::workspace::issue))
        .routes(routes!(issuing::by_name::issue))
        .routes(routes!(accounts::settings::get::get, accounts::settings::change::change))
        .routes(routes!(workspaces::create::create, workspaces::list::list))
        .routes(routes!(workspaces::get::get, workspaces::update::update, workspaces::delete::delete))
        .routes(routes!(workspaces::restore::restore))
        .routes(routes!(workspaces::status::change))
        .routes(routes!(workspaces::by_account::by_account))
        .routes(routes!(workspaces::by_name::by_name))
        .routes(routes!(workspaces::environments::environments))
        .routes(routes!(workspaces::members::list::list, workspaces::members::add::add))
        .routes(routes!(workspaces::members::change::change, workspaces::members::remove::remove))
        .routes(routes!(workspaces::audit::audit))
        .routes(routes!(workspaces::export::export))
        .routes(routes!(exports::get::get))
        .merge(workspaces::pillars::reserved())
        .routes(routes!(runs::list::list))
        .routes(routes!(runs::get::get))
        .routes(routes!(runs::events::events))
        .routes(routes!(runs::cancel::cancel))
        .routes(routes!(runs::retry::retry))
        .routes(routes!(runs::skip::skip))
        .routes(routes!(runs::abandon::abandon))
        .routes(routes!(pauses::list::list))
        .routes(routes!(pauses::set::set, pauses::lift::lift))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(problem::page::page))
        .routes(routes!(document::document))
}
