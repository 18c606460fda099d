//! The numbers of TLS.

use std::fmt;
use std::sync::PoisonError;

use prometheus_client::encoding::DescriptorEncoder;
use ringmain_core::TlsHandshake;

use super::{NodeCollector, ShardCollector, counter, gauge};

impl ShardCollector {
    pub(super) fn encode_handshakes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.labels.iter().zip(&self.shards);
        let samples = shards.flat_map(|(shard, stats)| {
            let outcomes = TlsHandshake::NAMES.iter().zip(&stats.tls_handshakes);
            outcomes.map(|((name, _), cell)| {
                let labels = vec![("shard", shard.as_str()), ("outcome", *name)];
                (labels, cell.get())
            })
        });
        let help = "TLS handshakes ended; full took a signature, resumed a ticket";
        counter("tls_handshakes", help).encode(encoder, samples)
    }
}

impl NodeCollector {
    pub(super) fn encode_certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let outcomes = [
            ("applied", &self.control.certificates_applied),
            ("refused", &self.control.certificates_refused),
        ];
        let help = "Times that changed files of certificates were read; refused is that they cannot be used";
        counter("tls_certificate_changes", help).encode(
            encoder,
            outcomes.map(|(outcome, cell)| (vec![("outcome", outcome)], cell.get())),
        )?;
        let presented = self
            .control
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let samples = presented.iter().map(|certificate| {
            let name = certificate.names.first().map_or("", String::as_str);
            let labels = vec![("name", name), ("serial", certificate.serial.as_str())];
            let at = u64::try_from(certificate.expires_at_seconds);
            (labels, at.unwrap_or_default())
        });
        let help = "When a certificate that is presented expires, in seconds since 1970, by the first host that it is for";
        gauge("tls_certificate_expires_seconds", help).encode(encoder, samples)
    }
}
