//! What a container printed: `GET /containers/{id}/logs`.

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;

use super::{Engine, Failure};

impl Engine {
    /// The last `count` lines that the container of `id` printed.
    ///
    /// # Errors
    /// When the engine cannot tell, for example because of the log driver.
    pub async fn last_lines(&self, id: &str, count: usize) -> Result<Vec<String>, Failure> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&count.to_string()).build();
        let reading = async {
            let mut text = Vec::new();
            let mut logs = std::pin::pin!(self.docker.logs(id, Some(options)));
            while let Some(output) = logs.next().await {
                text.extend_from_slice(&output?.into_bytes());
            }
            Ok(text)
        };
        let text = self.call("read the scanner's log", reading).await?;
        Ok(String::from_utf8_lossy(&text)
            .lines()
            .map(|line| line.trim_end().to_owned())
            .filter(|line| !line.is_empty())
            .collect())
    }
}
