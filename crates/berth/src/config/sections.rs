//! The sections and their settings. A doc comment here is the text of the reference.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use domain::model::ExportFormat;
use serde::{Deserialize, Serialize};

use super::database_url::DatabaseUrl;
use super::secret::Secret;
use super::section::section;
use super::units::{Period, Size};

section! {
    /// The listeners and what they put up with.
    Server in "server" {
        /// Address and port of the API.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7700),
        /// Address and port for metrics and readiness details. Keep it off the public network.
        admin_listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7701),
        /// The largest request body; a larger one is answered 413.
        body_limit: Size = Size(1024 * 1024),
        /// How long a request's body may take to arrive; a slower one is answered 408.
        body_timeout: Period = Period::seconds(15),
        /// How many event streams may be open at once; one more is answered 503.
        streams: u32 = 10_000,
        /// How long an event stream stays open. Its client comes back and misses nothing.
        stream_for: Period = Period::seconds(30 * 60),
        /// Addresses of proxies whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<IpAddr> = Vec::new(),
    }
}

section! {
    /// Where Berth keeps what it knows.
    Data in "data" {
        /// The data folder: of `berth dev`, which makes it with mode 0700 and holds it alone. Of `berth work` only the `local` backend is in
        /// it, which all processes of one machine may share.
        dir: PathBuf = PathBuf::from("berth-data"),
    }
}

section! {
    /// The PostgreSQL (15 or newer) of `berth serve`, `work`, `migrate`, `bootstrap` and `token`. `berth dev` keeps its own SQLite.
    Database in "database" {
        /// `postgres://USER:PASSWORD@HOST:PORT/NAME`, with `?sslmode=verify-full&sslrootcert=FILE` for TLS. The password may also stand in
        /// `PGPASSWORD` or `~/.pgpass`.
        url: Option<DatabaseUrl> = None,
        /// The same database without the pooler in between: for `berth migrate`, and for what needs a session.
        direct_url: Option<DatabaseUrl> = None,
        /// What stands in between: `none`, or `transaction` for a pooler that gives a server connection away after each transaction.
        pooler: Pooling = Pooling::None,
        /// The most connections of this process.
        connections: u32 = 20,
        /// How long a request or a step waits for a connection; then it is answered 503, or tried again.
        connection_timeout: Period = Period::seconds(5),
        /// How long a statement waits for a lock; of a migration, too.
        lock_timeout: Period = Period::seconds(5),
        /// How long a statement may take. Migrations may take as long as they need.
        statement_timeout: Period = Period::seconds(30),
        /// The role that `serve` and `work` connect as: `berth migrate` gives it what it needs and no more.
        runtime_role: Option<String> = None,
    }
}

section! {
    /// The built-in token issuer, which `berth serve` accepts tokens of.
    Issuer in "issuer" {
        /// The key file, as `berth generate-key FILE` makes it: the first signing key, under which later ones are sealed in the database.
        /// Whoever can read it and the database can be anybody.
        key_file: Option<PathBuf> = None,
        /// How long tokens are accepted whose key signs no more since `berth keys rotate`: as long as any token lives.
        accept_for: Period = Period::days(35),
        /// What its tokens say who issued them.
        name: String = "berth".to_owned(),
    }
}

section! {
    /// Whom Berth believes who a user is, besides its own issuer. `docs/identity.md` tells of it.
    Identity in "identity" {
        /// `OpenID` Connect providers: a list, in a file as `[[identity.issuers]]`.
        issuers: Vec<OutsideIssuer> = Vec::new(),
    }
}

section! {
    /// An `OpenID` Connect provider whose tokens `berth serve` and `berth dev` accept: a list, in a file as `[[identity.issuers]]`, in the
    /// environment as a whole: `BERTH_IDENTITY__ISSUERS='[{issuer="https://id.example.com", audiences=["berth"]}]'`.
    OutsideIssuer in "identity.issuers" {
        /// Its URL, to the letter as its tokens name it in `iss`; `/.well-known/openid-configuration` below it names its keys.
        issuer: String = String::new(),
        /// Where its keys are, for one that publishes no configuration. Not set: what the configuration says.
        keys_url: Option<String> = None,
        /// A token has to be meant (`aud`) for one of these. At least one is needed.
        audiences: Vec<String> = Vec::new(),
        /// What its tokens may be signed with, of `RS256`, `ES256` and `EdDSA`.
        algorithms: Vec<SigningAlgorithm> = vec![SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::EdDsa],
        /// The claim that tells its users apart. One that never changes and is never given to another.
        subject_claim: String = "sub".to_owned(),
        /// The claim that a user who is made just in time is called by. Name one that users cannot choose for themselves; without it,
        /// or where somebody has the name already, a user is called `ISSUER#SUBJECT`.
        name_claim: Option<String> = None,
        /// Claims that have to be there, each as `CLAIM=VALUE`; where the claim is a list, the value has to be in it.
        required_claims: Vec<String> = Vec::new(),
        /// How far its clock may be off.
        leeway: Period = Period::seconds(30),
        /// Whether a user whom Berth does not know is made when a token of theirs comes; otherwise the token is refused.
        just_in_time: bool = false,
        /// How long its keys are used before they are fetched again: so long a key that it withdraws may still be accepted.
        keys_fresh_for: Period = Period::seconds(10 * 60),
        /// How long its keys are used while it does not answer; after that its tokens are answered 503.
        keys_kept_for: Period = Period::seconds(6 * 60 * 60),
        /// The least time between two questions for a key that it had not published.
        keys_ask_every: Period = Period::seconds(5),
    }
}

section! {
    /// Where relationships are kept, and what answers who may do what.
    Permissions in "permissions" {
        /// `embedded`: Berth's own database and evaluator, nothing to set up. `spicedb`: a SpiceDB with Berth's schema, which `berth
        /// permissions schema write` gives it. Relationships are not carried from one to the other.
        kind: PermissionSystem = PermissionSystem::Embedded,
        /// Of SpiceDB's gRPC API: `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH`.
        endpoint: Option<String> = None,
        /// SpiceDB's preshared key. Better use `key_file`.
        key: Option<Secret> = None,
        /// A file with the preshared key. It is read again every ten seconds, and when SpiceDB refuses the key: put the new key into it
        /// while SpiceDB takes both.
        key_file: Option<PathBuf> = None,
        /// A file of certificates in PEM that SpiceDB's is checked against, instead of the system's.
        ca_file: Option<PathBuf> = None,
        /// How often a process with a worker compares what the permission system holds with what the database means; `0s`: never. What
        /// differs is counted (`berth_permissions_drift`) and logged.
        compare_every: Period = Period::days(1),
        /// Whether that comparison also brings the permission system to what the database means. What the database knows nothing of is
        /// only ever taken away by `berth permissions repair --remove-unknown`.
        repair: bool = false,
    }
}

section! {
    /// What an account may do.
    Accounts in "accounts" {
        /// Whether any authenticated user may create an account; otherwise `administer` on the platform is needed.
        self_serve: bool = true,
        /// The quota of a new account: how many workspaces it may hold at once.
        workspaces_max: u32 = 1000,
        /// The name of the workspace that a new account comes with; not set: none. It is accepted with the account's becoming active,
        /// and is its creator's.
        default_workspace: Option<String> = None,
        /// Where that workspace goes; not needed where there is one region only.
        default_workspace_region: Option<String> = None,
    }
}

section! {
    /// What becomes of workspaces.
    Workspaces in "workspaces" {
        /// How long a deleted workspace can be restored; then it is purged.
        purge_after: Period = Period::days(30),
    }
}

section! {
    /// The tokens that Berth gives.
    Tokens in "tokens" {
        /// Whether a token that is asked for by the name of a workspace which is not there yet makes the workspace, for who may make one.
        create_workspaces: bool = true,
    }
}

section! {
    /// How often anybody may ask: what is more is answered 429. Each process counts for itself. `0`: any number. `berth dev` limits nothing
    /// while these are as here.
    Rates in "rates" {
        /// Requests of one principal in a minute.
        principal: u32 = 30_000,
        /// Requests of all service accounts of one account in a minute.
        account: u32 = 150_000,
        /// Wrong tokens and secrets from one address (of IPv6: from one /64 network) in a minute.
        failures_per_source: u32 = 120,
        /// The same of one credential: under the id that it bears, or where it bears none, of the same text.
        failures_per_credential: u32 = 30,
    }
}

section! {
    /// What becomes of provisioning runs.
    Runs in "runs" {
        /// How long a run is kept after its end, with its journal and its requests; `0s`: for ever. Longer than a year, so that a yearly
        /// review finds them. What is there needs its runs and keeps them; the audit log stays, with each journal's digest.
        keep: Period = Period::days(400),
    }
}

section! {
    /// The worker that executes provisioning runs.
    Worker in "worker" {
        /// How many runs are worked on at once.
        concurrency: u32 = 32,
        /// How many runs of one account are worked on at once, so that one account's many leave room for others'. Not set: as many as
        /// there is room for. Runs that carry freezes to logins do not count.
        per_account: Option<u32> = None,
        /// How many attempts of steps may call one backend at once, in each worker. Runs that wait for a place make room for others. Not set:
        /// as many as there are.
        per_backend: Option<u32> = None,
        /// How long a worker's claims stand without a renewal.
        lease: Period = Period::seconds(10),
        /// How often the claims are renewed.
        renew: Period = Period::seconds(3),
        /// How often it looks for due runs that nobody told it of. New runs are picked up at once.
        poll: Period = Period::seconds(1),
        /// How long open attempts may go on after SIGTERM.
        drain: Period = Period::seconds(25),
    }
}

section! {
    /// Exports of workspaces.
    Export in "export" {
        /// The format where neither `format` nor `Accept` says: `csv`, `json` or `ndjson`.
        default_format: ExportFormat = ExportFormat::Csv,
        /// How long a reader may take over a piece of 64 KiB; a slower one is cut off.
        slow_reader_timeout: Period = Period::seconds(60),
        /// How many exports may run at once, 1 to 3; a further one is answered 503. Each holds a connection, of which SQLite has
        /// four for reading.
        concurrent: u32 = 2,
    }
}

section! {
    /// For trying and testing: makes the `local` backend fail, and time run faster. `berth serve` and `work` obey them
    /// too, and say so in their log.
    Dev in "dev" {
        /// The share of calls to the `local` backend that fail without an effect, 0 to 1.
        backend_fail_rate: f64 = 0.0,
        /// The share of calls that do not answer until they are cancelled, 0 to 1; as often before their effect as after it.
        backend_hang_rate: f64 = 0.0,
        /// The share of calls that have their effect and whose reply is lost, 0 to 1.
        backend_lose_reply_rate: f64 = 0.0,
        /// Seeds the choice of calls that fail, so that a run can be repeated.
        seed: u64 = 0,
        /// A folder of saga files that are loaded besides those built in, to try a definition before it is released.
        sagas: Option<PathBuf> = None,
        /// Multiplies every timeout, back-off, lease and deadline of runs, 0.001 to 1.
        time_scale: f64 = 1.0,
    }
}

section! {
    /// The log, on standard error. Spans are exported as the standard `OTEL_*` variables say.
    Log in "log" {
        /// `text` for people, `json` for machines.
        format: LogFormat = LogFormat::Text,
        /// What is logged, as `tracing` filters are written: `info`, `warn,saga=debug`.
        filter: String = "info".to_owned(),
    }
}

section! {
    /// A residency cell: a list, in a file as `[[regions]]`, in the environment as a whole: `BERTH_REGIONS='[{name="eu", backend="local"}]'`.
    Region in "regions" {
        /// What a request names.
        name: String = "local".to_owned(),
        /// The data platform that this region's backend workspaces are made on. This build knows `local`.
        backend: String = "local".to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

/// How an outside issuer may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// What stands between Berth and its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    None,
    Transaction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PermissionSystem {
    Embedded,
    SpiceDb,
}
