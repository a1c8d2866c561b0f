// sbf-codegen turns the LLVM bitcode that rustc emits for a Solana program into one BPF object file.
//
// Upstream LLVM's BPF back end serves the Linux kernel. It refuses or gets wrong what ordinary Rust needs: more than five
// arguments, results wider than a register, 128-bit multiplication, signed division, floating point, mem* calls. Each of
// these is rewritten into what the back end can do, before the back end sees it ("legalising"):
//
//   main.cpp        the order of the work, and the object file
//   inputs.cpp      bitcode files and archives become one module
//   panics.cpp      a panic ends in the program's own handler
//   legalise.cpp    walks the instructions and lets the three below replace them
//   integers.cpp    wide and signed integer arithmetic
//   floats.cpp      64-bit floating point becomes calls into compiler_builtins
//   memory.cpp      memcpy, memmove, memset become syscalls
//   calls.cpp       arguments and results that do not fit the five argument registers and the one result register
//   builtins.ll     the functions that those rewrites call
//
// What none of them knows is an error that names the function, never silently wrong code; what slips through to the back
// end as a call into a run-time library ends as an unknown import that the ELF gate (k2-program/elf-gate) refuses.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"
#include <memory>
#include <string>
#include <vector>

namespace sbf {

// Prints an error. The run goes on to find more of them and fails at the next check of `failed`.
void error(const llvm::Twine &message);
bool failed();

// ---- inputs.cpp ----

// All bitcode files and archives (Rust's .rlib) as one module. `builtins` tells which functions of compiler_builtins have
// to be kept although nothing calls them yet.
std::unique_ptr<llvm::Module> linkInputs(llvm::ArrayRef<std::string> paths, const llvm::Module &builtins);

// Parses builtins.ll.
std::unique_ptr<llvm::Module> readBuiltins(llvm::StringRef path, llvm::LLVMContext &context);

// Adds the builtins to the program.
void addBuiltins(llvm::Module &program, std::unique_ptr<llvm::Module> builtins);

// ---- panics.cpp ----

void routePanics(llvm::Module &program);

// ---- legalise.cpp ----

// What became of an instruction.
struct Rewrite {
  bool done = false;               // the instruction goes
  llvm::Value *value = nullptr;    // what its users take instead; null if it has no result

  static Rewrite none() { return {}; }
  static Rewrite removed() { return {true, nullptr}; }
  static Rewrite by(llvm::Value *value) { return {value != nullptr, value}; }
};

// Rewrites integers, floating point and memory operations in all functions.
void legaliseInstructions(llvm::Module &program);

// Calls a function that builtins.ll defines, or one of compiler_builtins that it declares.
llvm::Value *callBuiltin(llvm::IRBuilder<> &builder, llvm::StringRef name, llvm::ArrayRef<llvm::Value *> arguments);

// ---- integers.cpp, floats.cpp, memory.cpp: one instruction each ----

Rewrite legaliseInteger(llvm::Instruction &instruction);
Rewrite legaliseFloat(llvm::Instruction &instruction);
Rewrite legaliseMemory(llvm::Instruction &instruction);

// ---- calls.cpp ----

void legaliseCalls(llvm::Module &program);

} // namespace sbf
