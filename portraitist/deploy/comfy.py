"""A running ComfyUI draws pictures of a reference, by a workflow that a person made."""

from dataclasses import dataclass

from portraitist.deploy.graphs import facts
from portraitist.deploy.server import Server
from portraitist.deploy.workflow import Workflow


@dataclass(slots=True)
class Comfy:
    """A server and what it draws by; reference: a PNG's bytes."""

    server: Server
    workflow: Workflow
    reference: bytes
    uploaded: str = ""

    @property
    def name(self) -> str:
        """As in the record."""
        return f"comfyui {self.server.url}"

    @property
    def model(self) -> str:
        """SHA-256 of the workflow, which names the model's files."""
        return self.workflow.digest

    def prepare(self, prompts: list[str]) -> None:
        """See that the server has every node and file, and give it the reference. Raises PortraitistError where it
        lacks one."""
        graph = facts.suited(self.workflow.graph, facts.of_server(self.server))
        self.workflow = Workflow(graph, self.workflow.places, self.workflow.digest)
        if self.workflow.has("reference"):
            name = f"portraitist-{self.server.client[:8]}.png"
            self.uploaded = self.server.upload(name, self.reference, "image/png")

    def draw(self, prompt: str, seed: int) -> bytes:
        """One picture's file. Raises EndpointError for a graph that is refused, a job that fails, and a lost server."""
        graph = self.workflow.filled({"prompt": prompt, "seed": seed, "reference": self.uploaded})
        return self.server.picture(self.server.run(graph))
