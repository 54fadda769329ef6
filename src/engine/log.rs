//! What a container printed: `GET /containers/{id}/logs`.

use std::time::Duration;

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use super::{Docker, Failure};

/// The most bytes of the last lines.
const LONGEST: usize = 64 << 10;

impl Docker {
    pub(super) async fn read_log(&self, limit: Duration, id: &str, count: usize) -> Result<Vec<String>, Failure> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&count.to_string()).build();
        let reading = self.call(limit, "read the scanner's log", async |docker| {
            let mut text = Vec::new();
            let mut logs = std::pin::pin!(docker.logs(id, Some(options)));
            while let Some(output) = logs.next().await {
                text.extend_from_slice(&output?.into_bytes());
            }
            Ok(text)
        });
        let text = reading.await?;
        let last = text.get(text.len().saturating_sub(LONGEST)..).unwrap_or(&text);
        Ok(String::from_utf8_lossy(last)
            .lines()
            .map(|line| line.trim_end().to_owned())
            .filter(|line| !line.is_empty())
            .collect())
    }
}
