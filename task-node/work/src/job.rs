//! A job: what one miner of one node hashes.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::coinbase::CoinbaseParts;
use crate::{
    BlockTemplate, Claim, Extranonce, JobTemplate, JobTemplateError, JobTemplateId, PayoutScript,
    PoolTag, PreparedNotify, ShareFields, VersionMask, merkle,
};

/// Everything the node serves to its miners for one block template, computed once and shared by all sessions.
#[derive(Debug)]
pub struct LiveTemplate {
    block: Arc<BlockTemplate>,
    job: Arc<JobTemplate>,
    id: JobTemplateId,
    coinbase: Arc<CoinbaseParts>,
    notify: PreparedNotify,
}

impl LiveTemplate {
    /// Prepares a template: its whole value is paid to `payout`.
    ///
    /// # Errors
    /// [`JobTemplateError::Encoding`]; no template is known to cause it.
    pub fn new(
        block: Arc<BlockTemplate>,
        payout: &PayoutScript,
        pool_tag: PoolTag,
    ) -> Result<Self, JobTemplateError> {
        let job = Arc::new(JobTemplate::new(&block, payout, pool_tag));
        let coinbase = Arc::new(CoinbaseParts::of(&job));
        Ok(Self {
            id: job.id()?,
            notify: PreparedNotify::new(&job, &coinbase),
            block,
            job,
            coinbase,
        })
    }

    /// The block template, with all transactions.
    #[must_use]
    pub fn block(&self) -> &Arc<BlockTemplate> {
        &self.block
    }

    /// The part shares commit to.
    #[must_use]
    pub fn job_template(&self) -> &Arc<JobTemplate> {
        &self.job
    }

    /// The job template's name.
    #[must_use]
    pub fn id(&self) -> JobTemplateId {
        self.id
    }

    /// `mining.notify`, serialised but for the fields that differ between clients.
    #[must_use]
    pub fn notify(&self) -> &PreparedNotify {
        &self.notify
    }

    /// The job of one claim on this template.
    #[must_use]
    pub fn job(&self, claim: Claim) -> Job {
        Job::with_parts(Arc::clone(&self.job), self.id, &self.coinbase, claim)
    }
}

/// A job template with one claim in its coinbase.
#[derive(Debug, Clone)]
pub struct Job {
    template: Arc<JobTemplate>,
    template_id: JobTemplateId,
    claim: Claim,
    claim_hash: [u8; 32],
    /// The stripped coinbase up to the extranonce; `prefix_state` has already hashed it.
    prefix: Vec<u8>,
    prefix_state: Sha256,
    coinbase: Arc<CoinbaseParts>,
}

impl Job {
    /// The job of `claim` on `template`. Where many jobs share a template, [`LiveTemplate::job`] is cheaper.
    ///
    /// # Errors
    /// As [`JobTemplate::id`].
    pub fn new(template: Arc<JobTemplate>, claim: Claim) -> Result<Self, JobTemplateError> {
        let coinbase = Arc::new(CoinbaseParts::of(&template));
        let id = template.id()?;
        Ok(Self::with_parts(template, id, &coinbase, claim))
    }

    fn with_parts(
        template: Arc<JobTemplate>,
        template_id: JobTemplateId,
        coinbase: &Arc<CoinbaseParts>,
        claim: Claim,
    ) -> Self {
        let claim_hash = claim.hash();
        let prefix = [
            &coinbase.before_claim[..],
            &claim_hash,
            &coinbase.before_extranonce,
        ]
        .concat();
        Self {
            template,
            template_id,
            claim,
            claim_hash,
            prefix_state: Sha256::new_with_prefix(&prefix),
            prefix,
            coinbase: Arc::clone(coinbase),
        }
    }

    /// A job whose coinbase another pool built: `prefix` and `suffix` are the stripped coinbase around any
    /// [`Extranonce::BYTES`] of it. Vectors from elsewhere pass through the share check this way.
    #[cfg(test)]
    pub(crate) fn foreign(
        template: JobTemplate,
        claim: Claim,
        prefix: Vec<u8>,
        suffix: Vec<u8>,
    ) -> Result<Self, JobTemplateError> {
        let coinbase = CoinbaseParts {
            before_claim: Vec::new(),
            before_extranonce: Vec::new(),
            after_extranonce: suffix,
        };
        Ok(Self {
            template_id: template.id()?,
            template: Arc::new(template),
            claim_hash: claim.hash(),
            claim,
            prefix_state: Sha256::new_with_prefix(&prefix),
            prefix,
            coinbase: Arc::new(coinbase),
        })
    }

    /// The job template.
    #[must_use]
    pub fn template(&self) -> &Arc<JobTemplate> {
        &self.template
    }

    /// The job template's name.
    #[must_use]
    pub fn template_id(&self) -> JobTemplateId {
        self.template_id
    }

    /// Who earns its shares.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The hash in the coinbase, as [`PreparedNotify::line`] wants it.
    #[must_use]
    pub fn claim_hash(&self) -> &[u8; 32] {
        &self.claim_hash
    }

    /// Stratum's `coinb1`: the stripped coinbase before extranonce1.
    #[must_use]
    pub fn coinbase_prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Stratum's `coinb2`: the stripped coinbase after extranonce2.
    #[must_use]
    pub fn coinbase_suffix(&self) -> &[u8] {
        &self.coinbase.after_extranonce
    }

    /// The stripped coinbase with `extranonce` in place.
    #[must_use]
    pub fn coinbase(&self, extranonce: &Extranonce) -> Vec<u8> {
        [
            &self.prefix[..],
            extranonce.as_bytes(),
            &self.coinbase.after_extranonce,
        ]
        .concat()
    }

    /// The merkle root with `extranonce` in place, internal byte order.
    #[must_use]
    pub fn merkle_root(&self, extranonce: &Extranonce) -> [u8; 32] {
        let once = self
            .prefix_state
            .clone()
            .chain_update(extranonce.as_bytes())
            .chain_update(&self.coinbase.after_extranonce)
            .finalize();
        let txid = Sha256::digest(once).into();
        merkle::root_from_branch(txid, self.template.branch())
    }

    /// The 80-byte header of a share whose miner negotiated `mask`.
    ///
    /// Bits outside the mask are taken as the miner sent them: whether it may roll them is [`crate::check_share`]'s
    /// question, and a block is a block either way. Such a miner most likely rolls BIP320's bits unasked (DATUM #214).
    #[must_use]
    pub fn header(&self, fields: &ShareFields, mask: VersionMask) -> [u8; 80] {
        let version = match fields.version_bits {
            None => self.template.version(),
            Some(bits) if mask.allows(bits) => mask.roll(self.template.version(), bits),
            Some(bits) => VersionMask::BIP320.roll(self.template.version(), bits) | bits,
        };
        let mut header = [0; 80];
        header[0..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(self.template.prev_hash().as_ref());
        header[36..68].copy_from_slice(&self.merkle_root(&fields.extranonce));
        header[68..72].copy_from_slice(&fields.ntime.to_le_bytes());
        header[72..76].copy_from_slice(&self.template.nbits().to_consensus().to_le_bytes());
        header[76..80].copy_from_slice(&fields.nonce.to_le_bytes());
        header
    }
}
