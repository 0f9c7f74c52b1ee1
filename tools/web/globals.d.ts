// What the page's scripts offer one another, as properties of `window`: gradio runs a component's `js_on_load` as a plain
// function, and puts the scripts of the head into the page as they are.

/** A file that gradio keeps. */
interface KeptFile { path: string; url?: string; orig_name?: string; size?: number; meta?: {_type: string} }

/** The functions of a component on the server, see `server/inference_queue.py` and `viewer/camera.py`. */
interface Server {
  ask(question: object): Promise<any>;
  position(ticket: string): Promise<number | null>;
  frame(frame: object): Promise<any>;
}

/** Questions that are put one at a time, the newest first; see `computed.js`. */
interface Latest { ask(question: object): void; again(): void; readonly wanted: any }

/** The pictures of the Segment tab; see `photo_overlay.js`. */
interface Pictures {
  show(answer: any): Promise<void>;
  frame(answer: any, video: CanvasImageSource): Promise<void>;
  part(answer: any): Promise<void>;
  tell(across: number | null, down?: number, left?: number, top?: number): void;
  again(): Promise<void>;
}

interface Choice { photo: KeptFile | null; model: string; rate: number; stride: number }
type Trigger = (event: string) => void;
type Upload = (file: File) => Promise<KeptFile>;
type Show = (answer: any, question?: any) => unknown;

interface PageScripts {
  latest(server: Server, waiting: Element, show: Show): Latest;
  computed: {
    begin(element: HTMLElement, server: Server, trigger: Trigger, id: string, options?: {show?: Show; extra?: () => object}): Element | null;
    draw(place: Element, answer: any): void;
    choose(id: string, values: any[]): void;
    again(id: string): void;
  };
  running(element: HTMLElement, server: Server, trigger: Trigger, id: string): void;
  brush(element: HTMLElement, server: Server, trigger: Trigger, id: string, colours: string[]): void;
  brushPainting(): string;
  drawing: {
    result(element: HTMLElement): Pictures;
    photoInUse(value?: any): void;
    told(): any;
    keep(path: string, bitmap: Promise<ImageBitmap | null>): void;
    address(file: string): string;
    readable(): boolean;
    labelMap(given: any): Promise<any>;
    spoken(shown: any): string;
    useVoc(on: boolean): void;
    setOpacity(value: number): void;
  };
  questions: {
    choose(choice: Choice): void;
    choosePhoto(photo: KeptFile): void;
    again(): void;
    begin(element: HTMLElement, server: Server, drawn: Pictures, trigger: Trigger): void;
    settings(): Partial<Choice>;
    wanted(): Choice | null;
  };
  camera(element: HTMLElement, server: Server, drawn: Pictures, take: (file: File) => void): (video: File) => Promise<void>;
  photos: {
    begin(element: HTMLElement, trigger: Trigger, upload: Upload): void;
    panel(element: HTMLElement, video: (file: File) => Promise<void>): void;
    take(...files: File[]): unknown;
    all(): Promise<{path: string}[]>;
  };
  zoom(element: HTMLElement, server: Server, drawn: Pictures): void;
  photoChooser(chooser: HTMLInputElement, take: (...files: File[]) => unknown): void;
  takePhoto(...files: File[]): unknown;
  uploads: {instead(control: string): void; late(control: string, file: KeptFile): boolean};
  lastChoice: {handed: number; begin(): number; is(turn: number): boolean};
  sendAgain(path: string): Promise<string | null> | undefined;
  photoThere<Photo extends {path: string}>(photo: Photo | null): Promise<Photo | null>;
  exampleStrip(element: HTMLElement, trigger: Trigger): void;
  address: {begin(spec: object[], values: any[]): void; write(first: number, values: any[]): void; arrived(): void; bar(element: HTMLElement): void};
  projector: {begin(element: HTMLElement): void};
  language: {begin(element: HTMLElement): void};
  /** The texts that were looked up in a catalogue, for tests that want to know. */
  keysMet?: Set<string>;
  /** What was chosen last, for the gradio events that ask for it. */
  chosenPhoto: KeptFile;
}

interface Window extends PageScripts {}
declare const latest: PageScripts['latest'];
declare const computed: PageScripts['computed'];
declare const projector: PageScripts['projector'];
declare const drawing: PageScripts['drawing'];
declare const questions: PageScripts['questions'];
declare const photoChooser: PageScripts['photoChooser'];
declare const lastChoice: PageScripts['lastChoice'];
declare const sendAgain: PageScripts['sendAgain'];
