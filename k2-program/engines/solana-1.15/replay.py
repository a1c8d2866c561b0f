#!/usr/bin/env python3
"""replay.py [--program FILE]... DIR: replays every scenario below DIR in Solana 1.15.2, compiled (jit) and interpreted,
and compares outcomes and account states with what was recorded.

The format is described in ../scenario/src/format.rs. Exit status 0: all equal; 1: something differs; 2: it could not be
done. 1.15.2 has the prices of 1.14 for everything measured so far, so ceilings of compute units are checked here too.
"""

import asyncio
import hashlib
import json
import os
import struct
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

# The engine reads this when it starts; it would log every transaction.
os.environ.setdefault("RUST_LOG", "off")

try:
    from solders import bankrun
    from solders.account import Account
    from solders.clock import Clock
    from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
    from solders.instruction import AccountMeta, Instruction
    from solders.keypair import Keypair
    from solders.message import Message
    from solders.pubkey import Pubkey
    from solders.rent import Rent
    from solders.transaction import VersionedTransaction
    from solders.transaction_status import (
        InstructionErrorBorshIO,
        InstructionErrorCustom,
        TransactionErrorDuplicateInstruction,
        TransactionErrorFieldless,
        TransactionErrorInstructionError,
        TransactionErrorInsufficientFundsForRent,
    )
except ImportError as missing:
    print(f"error: {missing}; pip install --require-hashes -r {Path(__file__).parent / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)

VERSION = "1.15.2"
FORMAT = "orcapool/scenario/1"
MODES = ("jit", "interpreter")
# The instructions put before a step's own: compute unit limit and price.
BUDGET_INSTRUCTIONS = 2
# Begins the names of altered scenarios, in which a difference must be found.
MUST_DIFFER = "must-differ/"
SYSVAR = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
# A ProgramData account begins with tag, slot and authority; the ELF follows at this offset, authority or none.
PROGRAMDATA_HEADER = 45

# What stands in an account: lamports, owner, executable, data. None: there is no such account.
State = Optional[Tuple[int, Pubkey, bool, bytes]]


class Failed(Exception):
    """The replay could not be done."""


@dataclass
class Report:
    """What became of a step in one mode."""

    name: str
    ceiling: Optional[int]
    compute_units: Optional[int] = None
    differences: List[str] = field(default_factory=list)
    logs: List[str] = field(default_factory=list)


# ---- a scenario's values in the engine's types -----------------------------------------------------------------------


def recorded_state(state: Optional[Dict[str, Any]]) -> State:
    if state is None:
        return None
    owner = Pubkey.from_string(state["owner"])
    return state["lamports"], owner, state.get("executable", False), bytes.fromhex(state["data"])


def instruction(recorded: Dict[str, Any]) -> Instruction:
    metas = [
        AccountMeta(Pubkey.from_string(meta["address"]), meta["is_signer"], meta["is_writable"])
        for meta in recorded["accounts"]
    ]
    return Instruction(Pubkey.from_string(recorded["program"]), bytes.fromhex(recorded["data"]), metas)


def named_accounts(step: Dict[str, Any], payer: Pubkey) -> List[Pubkey]:
    """Every account that a step names, the fee payer aside."""
    names = {account["address"] for account in step["accounts_after"]}
    for recorded in step["instructions"]:
        names.add(recorded["program"])
        names.update(meta["address"] for meta in recorded["accounts"])
    names.discard(str(payer))
    return [Pubkey.from_string(name) for name in sorted(names)]


def variant(error: Any) -> str:
    """`InstructionErrorFieldless.MissingRequiredSignature` -> `MissingRequiredSignature`."""
    return str(error).rsplit(".", 1)[-1]


def ending(result: Any) -> Any:
    """The engine's result as a scenario has it."""
    if result is None:
        return "ok"
    if isinstance(result, TransactionErrorInstructionError) and result.index >= BUDGET_INSTRUCTIONS:
        error = result.err
        if isinstance(error, InstructionErrorCustom):
            reason: Dict[str, Any] = {"custom": error.code}
        elif isinstance(error, InstructionErrorBorshIO):
            reason = {"builtin": "BorshIoError"}
        else:
            reason = {"builtin": variant(error)}
        return {"instruction": {"index": result.index - BUDGET_INSTRUCTIONS, "error": reason}}
    if isinstance(result, TransactionErrorInsufficientFundsForRent):
        return {"transaction": "InsufficientFundsForRent"}
    if isinstance(result, TransactionErrorDuplicateInstruction):
        return {"transaction": "DuplicateInstruction"}
    if isinstance(result, TransactionErrorFieldless):
        return {"transaction": variant(result)}
    return {"transaction": str(result)}


def compare(wanted: State, got: State) -> Optional[str]:
    """The first difference in words."""
    if wanted is None or got is None:
        if wanted is None and got is None:
            return None
        there, what = ("should not exist", got) if wanted is None else ("does not exist", wanted)
        lamports, owner, _, data = what
        return f"{there}: {lamports} lamports, owner {owner}, {len(data)} bytes"
    for name, want, have in zip(("lamports", "owner", "executable"), wanted, got):
        if want != have:
            return f"{name}: want {want}, got {have}"
    if len(wanted[3]) != len(got[3]):
        return f"size: want {len(wanted[3])}, got {len(got[3])} bytes"
    for at, (want, have) in enumerate(zip(wanted[3], got[3])):
        if want != have:
            part = slice(at, at + 32)
            return f"data differ from byte {at}: want {wanted[3][part].hex()}, got {got[3][part].hex()}"
    return None


# ---- the engine ------------------------------------------------------------------------------------------------------


class Engine:
    """One bank, from genesis. It stays in its slot; only the Clock sysvar moves, because that is all a program can see of
    time."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.banks = context.banks_client

    @classmethod
    async def start(cls, mode: str) -> "Engine":
        return cls(await bankrun.start([], [], use_bpf_jit=mode == "jit"))

    def set_clock(self, clock: Dict[str, int]) -> None:
        self.context.set_clock(Clock(clock["slot"], 0, 0, 0, clock["unix_timestamp"]))

    def put(self, address: Pubkey, state: State) -> None:
        """Lets `state` stand at `address`, past every rule."""
        lamports, owner, executable, data = state or (0, SYSTEM, False, b"")
        self.context.set_account(address, Account(lamports, data, owner, executable))

    def put_program(self, program: Dict[str, Any], elfs: Dict[str, bytes]) -> None:
        """A program under the upgradeable loader, as if deployed in slot 0."""
        elf = elfs.get(program["elf_sha256"])
        if elf is None:
            raise Failed(f"no --program file has the SHA-256 {program['elf_sha256']} of {program['address']}")
        address = Pubkey.from_string(program["address"])
        programdata, _ = Pubkey.find_program_address([bytes(address)], LOADER)
        authority = program["upgrade_authority"]
        header = struct.pack("<IQB", 3, 0, authority is not None)
        if authority is not None:
            header += bytes(Pubkey.from_string(authority))
        data = header.ljust(PROGRAMDATA_HEADER, b"\0") + elf
        rent = Rent.default().minimum_balance
        self.put(programdata, (rent(len(data)), LOADER, False, data))
        data = struct.pack("<I", 2) + bytes(programdata)
        self.put(address, (rent(len(data)), LOADER, True, data))

    async def get(self, address: Pubkey) -> State:
        """What stands at `address`. A sysvar's account changes by itself and is never reported."""
        account = await self.banks.get_account(address)
        if account is None or account.lamports == 0 or account.owner == SYSVAR:
            return None
        return account.lamports, account.owner, account.executable, account.data

    async def send(self, instructions: List[Instruction], signers: List[Keypair]) -> Any:
        blockhash, _ = await self.banks.get_latest_blockhash()
        message = Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash)
        # solders wants the signatures in the order of the message, which sorts the signers behind the fee payer.
        order = {key: place for place, key in enumerate(message.account_keys)}
        signers = sorted(signers, key=lambda signer: order[signer.pubkey()])
        return await self.banks.process_transaction_with_metadata(VersionedTransaction(message, signers))


# ---- replaying -------------------------------------------------------------------------------------------------------


async def replay(scenario: Dict[str, Any], elfs: Dict[str, bytes], mode: str) -> List[Report]:
    """A whole scenario. It goes on after a difference: the state stays what this engine made of it."""
    engine = await Engine.start(mode)
    engine.set_clock(scenario["clock"])
    for program in scenario["programs"]:
        engine.put_program(program, elfs)
    for account in scenario["accounts"]:
        engine.put(Pubkey.from_string(account["address"]), recorded_state(account["state"]))
    keypairs = {name: Keypair.from_seed(bytes.fromhex(seed)) for name, seed in scenario["keypairs"].items()}
    payer = keypairs[scenario["fee_payer"]]
    return [await run_step(engine, step, number, payer, keypairs) for number, step in enumerate(scenario["steps"], 1)]


async def run_step(
    engine: Engine, step: Dict[str, Any], number: int, payer: Keypair, keypairs: Dict[str, Keypair]
) -> Report:
    for account in step.get("accounts", []):
        engine.put(Pubkey.from_string(account["address"]), recorded_state(account["state"]))
    if "clock" in step:
        engine.set_clock(step["clock"])
    expected = {address: await engine.get(address) for address in named_accounts(step, payer.pubkey())}
    for account in step["accounts_after"]:
        expected[Pubkey.from_string(account["address"])] = recorded_state(account["state"])

    budget = [set_compute_unit_limit(step["compute_limit"]), set_compute_unit_price(number)]
    instructions = budget + [instruction(recorded) for recorded in step["instructions"]]
    outcome = await engine.send(instructions, [payer] + [keypairs[name] for name in step["signers"]])

    report = Report(step["name"], step.get("ceiling"))
    if outcome.meta is not None:
        report.logs = outcome.meta.log_messages
        # What a failed transaction spent depends on how the virtual machine stopped.
        if outcome.result is None:
            report.compute_units = outcome.meta.compute_units_consumed
    got = ending(outcome.result)
    if got != step["expect"]:
        report.differences.append(f"outcome: want {json.dumps(step['expect'])}, got {json.dumps(got)}")
    for address, wanted in expected.items():
        difference = compare(wanted, await engine.get(address))
        if difference is not None:
            report.differences.append(f"account {address}: {difference}")
    if report.ceiling is not None and report.compute_units is not None and report.compute_units > report.ceiling:
        report.differences.append(f"{report.compute_units} compute units, above the ceiling of {report.ceiling}")
    return report


def show(scenario: str, reports: Tuple[Report, ...]) -> int:
    """A step's line, or one for each mode if they differ. Returns how many of them are bad."""
    first = reports[0]
    same = all(not report.differences and report.compute_units == first.compute_units for report in reports)
    for mode, report in (("both", first),) if same else zip(MODES, reports):
        units = "-" if report.compute_units is None else report.compute_units
        ceiling = "" if report.ceiling is None else f"<= {report.ceiling}"
        verdict = "DIFFERS" if report.differences else "equal"
        print(f"{verdict:<8}{mode:<12}{units:>9} CU {ceiling:<11}{scenario} / {report.name}")
        for difference in report.differences:
            print(f"        {difference}")
        for line in report.logs if report.differences else []:
            print(f"        log: {line}")
    return sum(1 for report in reports if report.differences)


def arguments(given: List[str]) -> Tuple[Path, Dict[str, bytes]]:
    usage = "usage: replay.py [--program FILE]... DIR"
    elfs: Dict[str, bytes] = {}
    folders: List[Path] = []
    rest = iter(given)
    for argument in rest:
        if argument == "--program":
            file = next(rest, None)
            if file is None:
                raise Failed(usage)
            elf = Path(file).read_bytes()
            elfs[hashlib.sha256(elf).hexdigest()] = elf
        elif argument.startswith("-"):
            raise Failed(usage)
        else:
            folders.append(Path(argument))
    if len(folders) != 1:
        raise Failed(usage)
    return folders[0], elfs


async def main() -> int:
    folder, elfs = arguments(sys.argv[1:])
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise Failed(f"no scenarios (*.json) below {folder}")
    print(f"Solana {VERSION}, compiled (jit) and interpreted")
    scenarios = steps = bad = altered = 0
    for file in files:
        try:
            scenario = json.loads(file.read_text(encoding="utf-8"))
            if scenario["format"] != FORMAT:
                raise Failed(f"format is `{scenario['format']}`, this reads `{FORMAT}`")
            both = [await replay(scenario, elfs, mode) for mode in MODES]
        except (Failed, KeyError, TypeError, ValueError) as error:
            raise Failed(f"{file}: {type(error).__name__}: {error}") from error
        if scenario["name"].startswith(MUST_DIFFER):
            altered += 1
            for mode, reports in zip(MODES, both):
                if not any(report.differences for report in reports):
                    print(f"BLIND   {mode:<12}{scenario['name']}: this was altered, and the replay found nothing wrong")
                    bad += 1
            continue
        for reports in zip(*both):
            bad += show(scenario["name"], reports)
        scenarios += 1
        steps += len(scenario["steps"])
    verdict = "all equal" if bad == 0 else f"{bad} DIFFER"
    print(f"{VERSION}: {scenarios} scenarios, {steps} steps, {verdict}; {altered} altered ones noticed")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        status = asyncio.run(main())
    except (Failed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except Exception:  # the engine's own: it must not reach the exit below
        traceback.print_exc()
        status = 2
    sys.stdout.flush()
    sys.stderr.flush()
    # The engine's threads now and then crash while the interpreter shuts down, after everything was compared.
    os._exit(status)
