// A panic ends in the program's own handler.
//
// Rust's panic machinery counts panics in writable globals, prints to a standard error stream and unwinds: a Solana
// program has none of that. `solana_program::entrypoint!` brings a function `custom_panic` that logs the message and
// the place; here the standard library's entry into its own machinery is replaced by a call of it, as Solana's fork of
// the standard library does. Without this every program would carry some 30 KB it can never use.
#include "codegen.h"

using namespace llvm;

namespace sbf {

static FunctionCallee abortSyscall(Module &program) {
  return program.getOrInsertFunction("abort", FunctionType::get(Type::getVoidTy(program.getContext()), false));
}

// Empties the function and gives back a builder for its new body.
static IRBuilder<> newBody(Function &function) {
  GlobalValue::LinkageTypes linkage = function.getLinkage(); // deleteBody makes it external
  function.deleteBody();
  function.setLinkage(linkage);
  return IRBuilder<>(BasicBlock::Create(function.getContext(), "", &function));
}

static void endInAbort(IRBuilder<> &builder, Module &program) {
  builder.CreateCall(abortSyscall(program));
  builder.CreateUnreachable();
}

void routePanics(Module &program) {
  Function *handler = program.getFunction("custom_panic");
  for (Function &function : program) {
    if (function.isDeclaration())
      continue;
    StringRef name = function.getName();
    // Where core::panic! arrives: it has the message and the place.
    if (name.ends_with("rust_begin_unwind") && handler && !handler->isDeclaration()) {
      IRBuilder<> builder = newBody(function);
      builder.CreateCall(handler, {function.getArg(0)});
      endInAbort(builder, program);
    }
    // Where std::panic::panic_any and the like arrive: a payload of any type, so there is no text to log.
    if (name.contains("9panicking15panic_with_hook") || name.contains("9panicking20rust_panic_with_hook")) {
      static constexpr char Message[] = "panicked with a payload";
      IRBuilder<> builder = newBody(function);
      FunctionCallee log = program.getOrInsertFunction(
          "sol_log_", FunctionType::get(builder.getVoidTy(), {builder.getPtrTy(), builder.getInt64Ty()}, false));
      builder.CreateCall(log, {builder.CreateGlobalString(Message), builder.getInt64(sizeof(Message) - 1)});
      endInAbort(builder, program);
    }
  }
}

} // namespace sbf
