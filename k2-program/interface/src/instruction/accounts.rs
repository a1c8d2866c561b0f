//! Which accounts each instruction takes, in order: read by the program, its client, the IDL and the tests.

use super::InstructionKind;

/// What an account must be. The program checks it; a client derives its address from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Is {
    /// Any key: what is asked of it stands in the instruction's own rules.
    Key,
    /// [`Config`](crate::state::Config).
    Config,
    /// [`OperatorSet`](crate::state::OperatorSet).
    Operators,
    /// [`Relay`](crate::state::Relay).
    Relay,
    /// [`Fork`](crate::state::Fork) of the payer.
    Fork,
    /// [`Cursor`](crate::state::Cursor) of the payer.
    Cursor,
    /// [`Buffer`](crate::state::Buffer) of the payer.
    Buffer,
    /// [`Record`](crate::state::Record) of kind Deposit, of the proved output.
    Deposit,
    /// [`Record`](crate::state::Record) of kind Payout, of the proved output.
    Payout,
    /// [`Operator`](crate::state::Operator).
    Operator,
    /// [`Proposal`](crate::state::Proposal).
    Proposal,
    /// [`Ledger`](crate::state::Ledger) of role and owner.
    Ledger,
    /// [`Redemption`](crate::state::Redemption).
    Redemption,
    /// The wrapped token's mint.
    Mint,
    /// The vault.
    Vault,
    /// The escrow.
    Escrow,
    /// A token account of the wrapped mint.
    TokenAccount,
    /// The address that signs for mint, vault and escrow.
    TokenAuthority,
    /// The SPL Token program.
    TokenProgram,
    /// The system program.
    SystemProgram,
    /// The program's own ProgramData account of the upgradeable loader.
    ProgramData,
    /// The address whose lamports are burned.
    Incinerator,
}

/// When an account is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Always.
    Always,
    /// With [`Anchor::Cursor`](super::Anchor::Cursor).
    Cursor,
    /// With [`Source::Buffer`](super::Source::Buffer).
    Buffer,
    /// Once for each input of the proved transaction: the Deposit record's address of the output it spends.
    PerInput,
}

/// One account of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountSpec {
    /// Its name.
    pub name: &'static str,
    /// Must it sign.
    pub signer: bool,
    /// Is it written to.
    pub writable: bool,
    /// What it must be.
    pub is: Is,
    /// When it is passed.
    pub when: When,
}

const fn read(name: &'static str, is: Is) -> AccountSpec {
    AccountSpec {
        name,
        signer: false,
        writable: false,
        is,
        when: When::Always,
    }
}

const fn write(name: &'static str, is: Is) -> AccountSpec {
    AccountSpec {
        writable: true,
        ..read(name, is)
    }
}

const fn signer(name: &'static str) -> AccountSpec {
    AccountSpec {
        signer: true,
        ..read(name, Is::Key)
    }
}

const fn payer(name: &'static str) -> AccountSpec {
    AccountSpec {
        signer: true,
        ..write(name, Is::Key)
    }
}

const fn only(when: When, spec: AccountSpec) -> AccountSpec {
    AccountSpec { when, ..spec }
}

const TOKEN_PROGRAM: AccountSpec = read("token_program", Is::TokenProgram);
const SYSTEM_PROGRAM: AccountSpec = read("system_program", Is::SystemProgram);
const TOKEN_AUTHORITY: AccountSpec = read("token_authority", Is::TokenAuthority);
const CURSOR: AccountSpec = only(When::Cursor, read("cursor", Is::Cursor));
const BUFFER: AccountSpec = only(When::Buffer, read("buffer", Is::Buffer));

impl InstructionKind {
    /// The accounts, in order. Those not passed [`When::Always`] follow the others, in this order.
    #[must_use]
    pub const fn accounts(self) -> &'static [AccountSpec] {
        match self {
            Self::Initialize => {
                const {
                    &[
                        payer("payer"),
                        signer("upgrade_authority"),
                        read("program_data", Is::ProgramData),
                        write("config", Is::Config),
                        write("operators", Is::Operators),
                        write("mint", Is::Mint),
                        write("vault", Is::Vault),
                        write("escrow", Is::Escrow),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::InitializeRelay => {
                const {
                    &[
                        payer("payer"),
                        signer("authority"),
                        read("config", Is::Config),
                        write("relay", Is::Relay),
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::SubmitHeaders => const { &[write("relay", Is::Relay)] },
            Self::SubmitFork => {
                const {
                    &[
                        payer("payer"),
                        write("relay", Is::Relay),
                        write("fork", Is::Fork),
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::CloseFork => const { &[payer("payer"), write("fork", Is::Fork)] },
            Self::OpenCursor => {
                const {
                    &[
                        payer("payer"),
                        read("relay", Is::Relay),
                        write("cursor", Is::Cursor),
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::AdvanceCursor => const { &[signer("payer"), write("cursor", Is::Cursor)] },
            Self::CloseCursor => const { &[payer("payer"), write("cursor", Is::Cursor)] },
            Self::OpenBuffer => {
                const { &[payer("payer"), write("buffer", Is::Buffer), SYSTEM_PROGRAM] }
            }
            Self::WriteBuffer => const { &[signer("payer"), write("buffer", Is::Buffer)] },
            Self::CloseBuffer => const { &[payer("payer"), write("buffer", Is::Buffer)] },
            Self::MintCoinbase => {
                const {
                    &[
                        payer("payer"),
                        write("config", Is::Config),
                        read("relay", Is::Relay),
                        write("deposit", Is::Deposit),
                        write("mint", Is::Mint),
                        write("vault", Is::Vault),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                        CURSOR,
                        BUFFER,
                    ]
                }
            }
            Self::MintDeposit => {
                const {
                    &[
                        payer("payer"),
                        write("config", Is::Config),
                        read("relay", Is::Relay),
                        write("deposit", Is::Deposit),
                        write("mint", Is::Mint),
                        write("vault", Is::Vault),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                        CURSOR,
                        BUFFER,
                        only(When::PerInput, write("spent", Is::Deposit)),
                    ]
                }
            }
            Self::CloseDeposit => {
                const {
                    &[
                        write("rent_receiver", Is::Key),
                        read("config", Is::Config),
                        read("relay", Is::Relay),
                        write("deposit", Is::Deposit),
                    ]
                }
            }
            Self::ClosePayout => {
                const {
                    &[
                        write("rent_receiver", Is::Key),
                        read("config", Is::Config),
                        read("relay", Is::Relay),
                        write("payout", Is::Payout),
                    ]
                }
            }
            Self::ProposeAuthority | Self::SetGuardian | Self::ProposeCustody | Self::Resume => {
                const { &[signer("authority"), write("config", Is::Config)] }
            }
            Self::AcceptAuthority => {
                const { &[signer("pending_authority"), write("config", Is::Config)] }
            }
            Self::Pause | Self::CancelCustody => {
                const { &[signer("guardian_or_authority"), write("config", Is::Config)] }
            }
            Self::ActivateCustody => {
                const { &[write("config", Is::Config), read("relay", Is::Relay)] }
            }
            Self::SetQuorum => {
                const {
                    &[
                        signer("authority"),
                        write("config", Is::Config),
                        read("operators", Is::Operators),
                    ]
                }
            }
            Self::RegisterOperator => {
                const {
                    &[
                        payer("operator_key"),
                        signer("authority"),
                        read("config", Is::Config),
                        write("operators", Is::Operators),
                        write("operator", Is::Operator),
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::LeaveOperator => {
                const {
                    &[
                        signer("operator_key_or_authority"),
                        read("config", Is::Config),
                        write("operators", Is::Operators),
                        write("operator", Is::Operator),
                    ]
                }
            }
            Self::WithdrawBond => {
                const {
                    &[
                        payer("operator_key"),
                        read("config", Is::Config),
                        write("operator", Is::Operator),
                    ]
                }
            }
            Self::SlashOperator => {
                const {
                    &[
                        write("operators", Is::Operators),
                        write("operator", Is::Operator),
                        read("one_proposal", Is::Proposal),
                        read("other_proposal", Is::Proposal),
                        write("incinerator", Is::Incinerator),
                    ]
                }
            }
            Self::ProposeRound => {
                const {
                    &[
                        payer("operator_key"),
                        read("config", Is::Config),
                        read("operators", Is::Operators),
                        write("proposal", Is::Proposal),
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::AttestRound => {
                const {
                    &[
                        signer("operator_key"),
                        read("config", Is::Config),
                        read("operators", Is::Operators),
                        write("proposal", Is::Proposal),
                    ]
                }
            }
            Self::FinalizeRound => {
                const {
                    &[
                        write("config", Is::Config),
                        read("operators", Is::Operators),
                        write("proposal", Is::Proposal),
                    ]
                }
            }
            Self::VetoRound => {
                const {
                    &[
                        signer("guardian_or_authority"),
                        read("config", Is::Config),
                        write("proposal", Is::Proposal),
                    ]
                }
            }
            Self::CloseProposal => {
                const {
                    &[
                        write("rent_receiver", Is::Key),
                        read("config", Is::Config),
                        write("proposal", Is::Proposal),
                    ]
                }
            }
            Self::Claim => {
                const {
                    &[
                        payer("payer"),
                        write("config", Is::Config),
                        write("ledger", Is::Ledger),
                        read("owner", Is::Key),
                        write("destination", Is::TokenAccount),
                        write("vault", Is::Vault),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::RequestRedeem => {
                const {
                    &[
                        payer("payer"),
                        signer("owner"),
                        write("config", Is::Config),
                        read("relay", Is::Relay),
                        write("source", Is::TokenAccount),
                        write("escrow", Is::Escrow),
                        write("redemption", Is::Redemption),
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                    ]
                }
            }
            Self::SettleRedeem => {
                const {
                    &[
                        payer("payer"),
                        write("config", Is::Config),
                        read("relay", Is::Relay),
                        write("redemption", Is::Redemption),
                        write("payout", Is::Payout),
                        write("mint", Is::Mint),
                        write("escrow", Is::Escrow),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                        SYSTEM_PROGRAM,
                        CURSOR,
                        BUFFER,
                    ]
                }
            }
            Self::RefundRedeem => {
                const {
                    &[
                        write("config", Is::Config),
                        read("relay", Is::Relay),
                        write("redemption", Is::Redemption),
                        read("owner", Is::Key),
                        write("destination", Is::TokenAccount),
                        write("escrow", Is::Escrow),
                        TOKEN_AUTHORITY,
                        TOKEN_PROGRAM,
                    ]
                }
            }
            Self::CloseRedemption => {
                const {
                    &[
                        write("rent_receiver", Is::Key),
                        write("redemption", Is::Redemption),
                    ]
                }
            }
        }
    }
}
