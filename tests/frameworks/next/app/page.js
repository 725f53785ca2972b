import Counter from "./counter";

export default function Page() {
  return (
    <main>
      <h1>Page one</h1>
      <Counter />
    </main>
  );
}
