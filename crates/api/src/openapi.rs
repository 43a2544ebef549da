//! The OpenAPI document: its frame, and what is the same for every operation.
//!
//! An operation declares what is its own. The refusals that any request may meet (no token, a malformed one, an outage) and
//! the shape of every problem are added here, so that none can be forgotten.

use serde_json::{Value, json};
use utoipa::PartialSchema as _;
use utoipa::ToSchema as _;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Header, HttpMethod, Info, License, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required,
    Response, ResponseBuilder, Server, Type, tag::TagBuilder,
};

use crate::problem::{Code, Problem, ProblemBody, ProblemError};
use crate::routes::routes;

const SCHEME: &str = "bearer";
const DESCRIPTION: &str = "Berth provisions workspaces: environments, backend workspaces on data platforms, and permissions, \
    made by a durable run that either succeeds or leaves nothing behind.\n\n\
    Every refusal is a problem (RFC 9457) with a stable `code`. Unknown fields and query parameters are refused: 400 for a request \
    that has not the shape documented here, 422 for values that break a rule. Every answer carries `X-Request-Id`, the one that was \
    sent (`[A-Za-z0-9._-]{1,128}`) or a new one. Lists are bare arrays; a `Link` header leads to the next page.\n\n\
    A service account may say with `Berth-On-Behalf-Of` for which user it acts; both must have the right.\n\n\
    Where the installation limits how often one may ask, answers carry `RateLimit` and `RateLimit-Policy`.\n\n\
    Send an `Idempotency-Key` with a POST, and a repeated request is answered like the first, for 24 hours.";

/// The document without its paths.
pub fn frame() -> OpenApi {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let mut info = Info::new("Berth", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    info.license = Some(license);
    let tag = |name: &str, description: &str| TagBuilder::new().name(name).description(Some(description)).build();
    let mut components = Components::new();
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("JWT".to_owned());
    http.description = Some(
        "A token for the audience `berth`, signed with EdDSA by the issuer of this installation; or one of an issuer that it trusts."
            .to_owned(),
    );
    components.add_security_scheme(SCHEME, SecurityScheme::Http(http));
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    components.schemas.insert(ProblemError::name().into_owned(), ProblemError::schema());
    // What a problem's members may hold, whether or not an operation's body brings it along.
    let mut members = Vec::new();
    ProblemBody::schemas(&mut members);
    components.schemas.extend(members);
    for (status, name, description) in SHARED {
        let mut response = ResponseBuilder::new().description(description).build();
        refusal(status, &mut response);
        components.responses.insert(name.to_owned(), response.into());
    }
    let mut server = Server::new("/");
    server.description = Some("The installation that serves this document".to_owned());
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([server]))
        .components(Some(components))
        .security(Some([SecurityRequirement::new(SCHEME, Vec::<String>::new())]))
        .tags(Some([
            tag("Workspaces", "Isolation boundaries in an account, their environments and their audit log."),
            tag("Provisioning runs", "What is at work on accounts and workspaces, and what an operator may do about it."),
            tag("Pauses", "Operators' orders that nothing new starts on a backend, of a saga, or for an account."),
            tag("Accounts", "Tenants that own workspaces."),
            tag("Tokens", "Service accounts, their secrets, and tokens."),
            tag("Users", "Who is let in, and whom outside issuers vouch for."),
            tag("Pillars", "Paths reserved for neighbouring services of a workspace."),
            tag("Service", "This installation and its caller."),
        ]))
        .build()
}

/// The document as it stands in `openapi.yaml` at the root of the repository, and under `/openapi.yaml`.
///
/// # Panics
/// Never: the document holds nothing that YAML cannot say.
#[must_use]
pub fn openapi_yaml() -> String {
    let (_, mut document) = routes().split_for_parts();
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            complete(&method, operation);
        }
    }
    close_request_bodies(&mut document);
    join_inlined(&mut document);
    let text = document.to_yaml().expect("a document of strings, numbers and maps is YAML");
    format!("# Generated from the handlers in crates/api. Do not edit: `make generate` writes it anew.\n{text}")
}

/// Says of every request body what is true of all of them: fields that are not documented are refused, and a body may be
/// left out where no field is needed.
fn close_request_bodies(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
            for content in body.content.values() {
                let RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. }) = content else { continue };
                let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
                let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(name) else { continue };
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
                for field in object.properties.values_mut() {
                    let RefOr::T(Schema::Object(inner)) = field else { continue };
                    if !inner.properties.is_empty() {
                        inner.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
                    }
                }
                let is_optional = object.required.is_empty() && object.min_properties.is_none();
                body.required = Some(if is_optional { Required::False } else { Required::True });
            }
        }
    }
}

/// Joins what a field says (its description, its default) with the words that it inlines: as two parts of an `allOf`, of
/// which one has no type of its own, generators of clients take them for two types and refuse the document.
fn join_inlined(document: &mut OpenApi) {
    for schema in document.components.iter_mut().flat_map(|components| components.schemas.values_mut()) {
        if let RefOr::T(Schema::Object(object)) = schema {
            object.properties.values_mut().for_each(join);
        }
    }
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                parameter.schema.iter_mut().for_each(join);
            }
        }
    }
}

fn join(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::AllOf(parts)) = schema else { return };
    let [RefOr::T(Schema::Object(words)), RefOr::T(Schema::Object(about))] = parts.items.as_slice() else { return };
    let mut joined = words.clone();
    joined.description = about.description.clone().or(joined.description);
    joined.default = about.default.clone().or(joined.default);
    *schema = RefOr::T(Schema::Object(joined));
}

fn operations(item: &mut PathItem) -> Vec<(HttpMethod, &mut Operation)> {
    let slots = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    slots.into_iter().filter_map(|(method, slot)| slot.as_mut().map(|operation| (method, operation))).collect()
}

/// Refusals that mean the same wherever they occur: status, name among the components, description.
const SHARED: [(&str, &str, &str); 10] = [
    ("400", "InvalidRequest", "The request does not have the documented shape"),
    ("401", "Unauthenticated", "The token is missing or not valid"),
    ("403", "Forbidden", "The caller may not act on behalf of the user that `Berth-On-Behalf-Of` names"),
    ("408", "RequestTimeout", "The body did not arrive in time"),
    ("413", "BodyTooLarge", "The body is larger than 64 KiB"),
    ("415", "UnsupportedMediaType", "The body is not `application/json`"),
    ("422", "InvalidValues", "A value breaks a rule, or the Idempotency-Key was used for another request"),
    ("429", "RateLimited", "There are more requests than this installation serves, or too many wrong tokens"),
    ("500", "InternalError", "A fault of ours; nothing about its cause is told"),
    ("503", "Unavailable", "A part of the service is away"),
];

/// Adds what every operation of its kind has.
fn complete(method: &HttpMethod, operation: &mut Operation) {
    let public = operation.security.as_ref().is_some_and(|s| s.iter().all(|r| r == &SecurityRequirement::default()));
    if public {
        // An empty list says that no token is needed; one with an empty requirement, that it is optional.
        operation.security = Some(Vec::new());
    }
    let takes_body = operation.request_body.is_some();
    for (status, name, _) in SHARED {
        let applies = match status {
            "400" | "500" => true,
            "401" | "403" | "429" | "503" => !public,
            _ => takes_body,
        };
        if applies {
            let shared = || Ref::new(format!("#/components/responses/{name}")).into();
            operation.responses.responses.entry(status.to_owned()).or_insert_with(shared);
        }
    }
    if !public {
        operation.parameters.get_or_insert_default().push(on_behalf_of().into());
    }
    // Each token that is asked for is another one.
    if *method == HttpMethod::Post && !operation.operation_id.as_deref().is_some_and(|id| id.starts_with("issue")) {
        operation.parameters.get_or_insert_default().push(idempotency_key().into());
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        refusal(status, response);
        // What is accepted without a run has no URL of its own.
        if status == "202" && response.headers.contains_key("Location") {
            link_to_the_run(response);
        }
    }
}

/// What is accepted goes on as a run: where to read it, and what can be asked of it.
fn link_to_the_run(response: &mut Response) {
    let operations = [
        "getProvisioningRun",
        "followProvisioningRun",
        "cancelProvisioningRun",
        "retryProvisioningRun",
        "skipProvisioningRun",
        "abandonProvisioningRun",
    ];
    for operation in operations {
        let link = LinkBuilder::new().operation_id(operation).parameter("id", "$response.body#/provisioning_run_id").build();
        response.links.insert(operation.to_owned(), link.into());
    }
}

/// Gives a refusal the shape that all of them have.
fn refusal(status: &str, response: &mut Response) {
    if !status.starts_with(['4', '5']) {
        return;
    }
    response.content.insert("application/problem+json".to_owned(), problem(status).into());
    if status == "401" {
        response.headers.insert("WWW-Authenticate".to_owned(), text_header("The challenge of RFC 6750").into());
    }
    if status == "429" || status == "503" {
        response.headers.insert("Retry-After".to_owned(), text_header("Seconds until another try is worthwhile").into());
    }
}

fn text_header(description: &str) -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
    header.description = Some(description.to_owned());
    header
}

fn on_behalf_of() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Berth-On-Behalf-Of")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The id or the name of the user for whom a service account acts: both must have the right, and both are audited. \
             A user may not send it",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^[!-~]([ -~]{0,198}[!-~])?$"))
                .examples([json!("0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21")]),
        ))
        .build()
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Makes the request safe to repeat; 1 to 255 visible ASCII characters, in double quotes or bare"))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r#"^("[!#-\[\]-~]{1,255}"|[!#-+.-:<-\[\]-~-]{1,255})$"#))
                .examples([json!("8e03978e-40d5-43e8-bc93-6894a57f9324")]),
        ))
        .build()
}

/// The content of a refusal of this status, with the first code of the table that has it as an example.
fn problem(status: &str) -> Content {
    let example: Option<Value> = Code::ALL
        .iter()
        .find(|code| code.status().as_str() == status)
        .map(|code| Problem::of(*code).body("0197b7a2-52a3-7b21-8f0d-2c3d4e5f6a7b"));
    ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(example).build()
}
