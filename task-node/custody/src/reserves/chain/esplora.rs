//! By the API of an Esplora server, which keeps every transaction and what spent it. Transactions are checked against their
//! ids; that they are confirmed, and where, is the server's word.

use std::collections::BTreeMap;

use bdk_esplora::esplora_client::{self, BlockingClient, Builder, TxStatus};
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};

use super::ChainError;
use crate::reserves::facts::{Found, Spending};
use crate::reserves::transaction::Claim;
use crate::view::named;

/// Seconds for one answer.
const TIMEOUT: u64 = 30;

pub(super) fn client(url: &str) -> BlockingClient {
    Builder::new(url.trim_end_matches('/'))
        .timeout(TIMEOUT)
        .build_blocking()
}

pub(super) fn tip(client: &BlockingClient) -> Result<(u32, BlockHash), ChainError> {
    let height = client.get_height().map_err(ChainError::server)?;
    let hash = client.get_block_hash(height).map_err(ChainError::server)?;
    Ok((height, hash))
}

pub(super) fn hash_at(
    client: &BlockingClient,
    height: u32,
) -> Result<Option<BlockHash>, ChainError> {
    match client.get_block_hash(height) {
        Ok(hash) => Ok(Some(hash)),
        Err(esplora_client::Error::HttpResponse { status: 404, .. }) => Ok(None),
        Err(error) => Err(ChainError::server(error)),
    }
}

pub(super) fn transactions(
    client: &BlockingClient,
    wanted: &[(Txid, u32)],
) -> Result<BTreeMap<Txid, (Transaction, u32)>, ChainError> {
    let mut found = BTreeMap::new();
    for (txid, height) in wanted {
        if let Some((transaction, mined)) = confirmed(client, txid)?
            && mined == *height
        {
            found.insert(*txid, (transaction, mined));
        }
    }
    Ok(found)
}

pub(super) fn coins(
    client: &BlockingClient,
    claim: &Claim,
) -> Result<BTreeMap<OutPoint, Found>, ChainError> {
    let mut known: BTreeMap<Txid, Option<(Transaction, u32)>> = BTreeMap::new();
    let mut look_up = |txid: Txid| -> Result<Option<(Transaction, u32)>, ChainError> {
        if let Some(known) = known.get(&txid) {
            return Ok(known.clone());
        }
        let found = confirmed(client, &txid)?;
        known.insert(txid, found.clone());
        Ok(found)
    };
    let mut found = BTreeMap::new();
    for coin in claim.coins() {
        let outpoint = coin.outpoint;
        let Some((transaction, height)) = look_up(outpoint.txid)? else {
            continue;
        };
        let vout = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
        let Some(txout) = transaction.output.get(vout) else {
            continue;
        };
        let status = client
            .get_output_status(&outpoint.txid, u64::from(outpoint.vout))
            .map_err(ChainError::server)?;
        // A transaction in the mempool spends nothing yet.
        let spent = match status.and_then(|status| status.txid) {
            Some(by) => look_up(by)?.map(|(transaction, height)| Spending {
                txid: by,
                height,
                ids: named(&transaction),
            }),
            None => None,
        };
        found.insert(
            outpoint,
            Found {
                txout: txout.clone(),
                height,
                is_coinbase: transaction.is_coinbase(),
                spent,
            },
        );
    }
    Ok(found)
}

fn confirmed(
    client: &BlockingClient,
    txid: &Txid,
) -> Result<Option<(Transaction, u32)>, ChainError> {
    let status: TxStatus = match client.get_tx_status(txid) {
        Ok(status) => status,
        Err(esplora_client::Error::HttpResponse { status: 404, .. }) => return Ok(None),
        Err(error) => return Err(ChainError::server(error)),
    };
    let (true, Some(height)) = (status.confirmed, status.block_height) else {
        return Ok(None);
    };
    let Some(transaction) = client.get_tx(txid).map_err(ChainError::server)? else {
        return Ok(None);
    };
    if transaction.compute_txid() != *txid {
        return Err(ChainError::server(
            "a transaction that is not the one asked for",
        ));
    }
    Ok(Some((transaction, height)))
}
