//! `berth bench export`: how fast a workspace's audit log leaves as CSV.

use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use super::house::Served;
use super::http::Client;
use super::limits::{Beside, Letter};
use super::load::get;
use super::place::{On, Place};
use super::report::{Form, Report};
use super::sample::rate;
use super::{refused, requests};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many audit entries there are.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    rows: u32,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        let units = [("rows_per_second", Letter::Y)];
        self.on
            .with(async |place| {
                let report = self.beside.around(place, &units, Box::pin(self.measure(place))).await?;
                report.print(&self.form, place).await
            })
            .await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let (house, workspace) = requests::filled(place, self.rows).await?;
        let served = Served::start(&house).await?;
        let mut client = Client::connect(served.address).await.map_err(refused)?;
        let request = get(&served.token, &format!("/v1/workspaces/{workspace}/export?format=csv&include=audit"));
        let (mut lines, mut bytes, mut last) = (0_usize, 0_usize, 0_u8);
        let began = Instant::now();
        let status = client
            .ask(&request, |piece| {
                lines += memchr::memchr_iter(b'\n', piece).count();
                bytes += piece.len();
                last = piece.last().copied().unwrap_or(last);
            })
            .await
            .map_err(refused)?;
        let took = began.elapsed();
        served.stop().await?;
        // The entries' own columns hold no line breaks: a line is a row, but for the headings.
        if status != 200 || last != b'\n' || lines <= self.rows as usize {
            return Err(Failure::new(format!("the export was answered {status}, with {lines} lines for {} entries", self.rows)));
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let megabytes = bytes as f64 / 1e6;
        Ok(Report {
            bench: "export",
            measures:
                "GET /v1/workspaces/{id}/export of one workspace's audit log as CSV, uncompressed, from the request to the last byte. \
                       Client and server are in one process and talk over loopback; the client counts lines and keeps nothing."
                    .to_owned(),
            parameters: self.on.parameters(json!({"rows": self.rows})),
            figures: vec![
                ("rows_per_second", json!(rate(lines - 1, took))),
                ("megabytes_per_second", json!(megabytes / took.as_secs_f64())),
                ("bytes", json!(bytes)),
                ("seconds", json!(took.as_secs_f64())),
            ],
            beside: None,
        })
    }
}
