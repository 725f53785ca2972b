// The service of the server and its client, described here in place of a `.proto` file: nothing is generated.
import { create, createFileRegistry } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

// The service, as in `service Chat { rpc Say(Line) returns (Line); rpc Listen(Line) returns (stream Line); }`.
const line = "chat.Line";
const file = create(FileDescriptorProtoSchema, {
  name: "chat.proto",
  package: "chat",
  syntax: "proto3",
  messageType: [
    {
      name: "Line",
      field: [
        {
          name: "text",
          number: 1,
          type: FieldDescriptorProto_Type.STRING,
          label: FieldDescriptorProto_Label.OPTIONAL,
          jsonName: "text",
        },
      ],
    },
  ],
  service: [
    {
      name: "Chat",
      method: [
        { name: "Say", inputType: line, outputType: line },
        { name: "Listen", inputType: line, outputType: line, serverStreaming: true },
      ],
    },
  ],
});

export const Chat = createFileRegistry(file, () => undefined).getService("chat.Chat");
