//! Members of accounts and workspaces on the wire, and how their changes are answered.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use domain::PrincipalKind;
use domain::members::{NamedMember, NewMember, Removed};
use domain::model::Role;
use domain::ports::Answer;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::JsonBody;
use crate::me::PrincipalType;
use crate::problem::Problem;
use crate::timestamp::Timestamp;

/// Seconds after which a change that is pending may be in force.
const RETRY_AFTER_SECONDS: u32 = 2;

/// A user or service account with a role on an account or workspace.
#[derive(Serialize, ToSchema)]
pub struct Member {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
    #[schema(examples("ada"))]
    name: String,
    #[schema(inline)]
    role: MemberRole,
    /// `pending` until the permission system has the role: it holds from then on.
    #[schema(inline)]
    state: MemberState,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// `owner` is for users only, `viewer` for workspaces only.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    Owner,
    Admin,
    Member,
    Viewer,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    Active,
    Pending,
}

/// What became of a principal that is a member no more.
#[derive(Serialize, ToSchema)]
pub struct RemovedMember {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
    /// `pending` until the permission system knows; until then each request of the principal here is answered 503.
    #[schema(inline)]
    state: RemovalState,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemovalState {
    Removed,
    Pending,
}

/// Who is to become a member: give either `id` or `name`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `read_new` takes")]
pub struct AddMember {
    #[schema(inline)]
    r#type: PrincipalType,
    #[schema(nullable = false)]
    id: Option<Uuid>,
    /// As Berth knows the principal.
    #[schema(nullable = false, min_length = 1, examples("ada"))]
    name: Option<String>,
    #[schema(inline)]
    role: MemberRole,
}

/// The member's new role.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the field that `read_role` takes")]
pub struct ChangeMember {
    #[schema(inline)]
    role: MemberRole,
}

const ROLES: [(&str, Role); 4] = [("owner", Role::Owner), ("admin", Role::Admin), ("member", Role::Member), ("viewer", Role::Viewer)];
const TYPES: [(&str, PrincipalKind); 2] = [("user", PrincipalKind::User), ("service_account", PrincipalKind::ServiceAccount)];

pub fn read_new(body: JsonBody) -> Result<NewMember, Problem> {
    let mut fields = body.fields();
    let new = NewMember {
        kind: fields.required_word("type", &TYPES).unwrap_or(PrincipalKind::User),
        id: fields.id("id"),
        name: fields.text("name"),
        role: fields.required_word("role", &ROLES).unwrap_or(Role::Viewer),
    };
    fields.finish()?;
    Ok(new)
}

pub fn read_role(body: JsonBody) -> Result<Role, Problem> {
    let mut fields = body.fields();
    let role = fields.required_word("role", &ROLES).unwrap_or(Role::Viewer);
    fields.finish()?;
    Ok(role)
}

impl From<NamedMember> for Member {
    fn from(NamedMember { member, name }: NamedMember) -> Self {
        Self {
            r#type: member.principal.kind.into(),
            id: member.principal.id,
            name,
            role: match member.role {
                Role::Owner => MemberRole::Owner,
                Role::Admin => MemberRole::Admin,
                Role::Member => MemberRole::Member,
                Role::Viewer => MemberRole::Viewer,
            },
            state: if member.pending { MemberState::Pending } else { MemberState::Active },
            created_at: member.created_at.into(),
        }
    }
}

/// 201 if the permission system has the role, 202 if it is still to be told.
pub fn added(member: &NamedMember) -> Answer {
    let status = if member.member.pending { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Answer { status: status.as_u16(), location: None, body: json!(Member::from(member.clone())) }
}

pub fn changed(member: NamedMember) -> Response {
    answer(member.member.pending, Member::from(member))
}

pub fn removed(removed: Removed) -> Response {
    let state = if removed.pending { RemovalState::Pending } else { RemovalState::Removed };
    answer(removed.pending, RemovedMember { r#type: removed.principal.kind.into(), id: removed.principal.id, state })
}

fn answer(pending: bool, body: impl Serialize) -> Response {
    if !pending {
        return Json(body).into_response();
    }
    (StatusCode::ACCEPTED, [(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))], Json(body)).into_response()
}
