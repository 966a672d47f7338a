// Prints what the modules of a TypeScript project export, each with whether it has a doc comment, as JSON pairs.
import { createRequire } from 'node:module';
import path from 'node:path';

const root = process.argv[2];
const ts = createRequire(path.join(root, 'package.json'))('typescript');

const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), ts.sys.readFile);
const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const program = ts.createProgram(fileNames, options);
const checker = program.getTypeChecker();

const PRIVATE = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;

// A method that an interface asks for has that interface's comment.
const documented = symbol => symbol.getDocumentationComment(checker).length > 0;

// `export default x` is x.
const declared = symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

function methods(symbol) {
  return [...(symbol.members?.values() ?? [])].filter(
    ({ flags, valueDeclaration }) =>
      flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Accessor) &&
      !(ts.getCombinedModifierFlags(valueDeclaration) & PRIVATE) &&
      !ts.isPrivateIdentifier(valueDeclaration.name)
  );
}

function declarations(source) {
  const module = checker.getSymbolAtLocation(source);
  const exported = module ? checker.getExportsOfModule(module) : [];
  return (
    exported
      .map(declared)
      // What a module passes on is documented where it is declared.
      .filter(({ declarations }) => declarations?.some(node => node.getSourceFile() === source))
      .flatMap(symbol => {
        const name = `${path.basename(source.fileName)}:${symbol.name}`;
        const members = symbol.flags & ts.SymbolFlags.Class ? methods(symbol) : [];
        return [
          [name, documented(symbol)],
          ...members.map(member => [`${name}.${member.name}`, documented(member)])
        ];
      })
  );
}

const own = new Set(fileNames.map(name => path.resolve(name)));
const sources = program.getSourceFiles().filter(({ fileName }) => own.has(path.resolve(fileName)));
console.log(JSON.stringify(sources.flatMap(declarations)));
